module example.com/scgi/mutate

go 1.25
