module example.com/scgi

go 1.25
