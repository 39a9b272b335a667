module github.com/millrace/millrace/shared

go 1.26
