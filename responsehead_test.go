package scgi

import (
	"net/http"
	"strings"
	"testing"
)

// Invariant: http.DetectContentType calls plain text whatever isPlain accepts, so calling
// isPlain first changes no Content-Type.
func FuzzSniff(f *testing.F) {
	for _, seed := range []string{
		"", "%PDF-1.7", "%!PS-Adobe-3.0", "BM6", "GIF87a", "GIF89a", "RIFF1234WEBPVP8", "RIFF1234WAVE", "RIFF1234AVI ",
		"FORM1234AIFF", "ID3", "OggS\x00", "MThd\x00\x00\x00\x06", "OTTO", "ttcf", "wOFF", "wOF2", "PK\x03\x04", "Rar!\x1a\x07\x00",
		"\x00\x00\x00\x18ftypmp42", strings.Repeat(" ", 34) + "LP", "<!doctype html>", " \n<p>", "\t<?xml ", "\xef\xbb\xbftext", "caf\xc3\xa9",
		strings.Repeat("a", sniffLen) + "\x00", strings.Repeat("a", sniffLen-1) + "\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got := http.DetectContentType(b); isPlain(b) && got != plainText {
			t.Errorf("%q passes for plain text, and is %s", b, got)
		}
	})
}

func TestSniffFindsPlainText(t *testing.T) {
	for _, text := range []string{"", "x", "Mon Nov 23 15:05:26 2026\n", "pizza=hawaii\r\n\tdrink=beer", strings.Repeat("text ", 200)} {
		if !isPlain([]byte(text)) {
			t.Errorf("%.20q does not pass for plain text", text)
		}
	}
}

func BenchmarkSniff(b *testing.B) {
	text := []byte("Mon Nov 23 15:05:26 2026\n")
	b.Run("DetectContentType", func(b *testing.B) {
		for b.Loop() {
			_ = http.DetectContentType(text)
		}
	})
	b.Run("isPlain first", func(b *testing.B) {
		for b.Loop() {
			_ = sniffed(text, nil)
		}
	})
}
