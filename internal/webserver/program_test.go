package webserver

import "testing"

func TestVersionBefore(t *testing.T) {
	older := []string{"Server version: Apache/2.4.71 (Debian)", "nginx version: nginx/1.22.1", "1.9"}
	newer := []string{"2.4.100", "1.23", "lighttpd/1.22.0 (ssl)"}
	for i := range older {
		v, w := ParseVersion(older[i]), ParseVersion(newer[i])
		if !v.Before(w) || w.Before(v) || v.Before(v) {
			t.Errorf("%v is not older than %v", v, w)
		}
	}
}
