package mysqltable

import (
	"errors"
	"fmt"
	"net"

	"github.com/go-sql-driver/mysql"
)

// Server error numbers: https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
const (
	errDatabaseDenied = 1044
	errAccessDenied   = 1045
	errNoDatabase     = 1049
	errSyntax         = 1064
	errUnknown        = 1105 // go-mysql-server's number for a syntax error, among others
	errTableDenied    = 1142
	errColumnDenied   = 1143
	errNoTable        = 1146
	errTableChanged   = 1412
)

// explain says in one sentence what is wrong with the server, the account or the table, and
// what to do. table may be "".
func (s *Server) explain(err error, table string) error {
	at := "MySQL at " + s.address
	var answer *mysql.MySQLError
	if errors.As(err, &answer) {
		switch answer.Number {
		case errAccessDenied:
			return fmt.Errorf("%s refuses the user %q: correct username and password in the MySQL secret or connection string (%w)", at, s.user, err)
		case errNoDatabase:
			return fmt.Errorf("%s has no database %q: correct dbname in the MySQL secret or connection string (%w)", at, s.database, err)
		case errDatabaseDenied:
			return fmt.Errorf("%s: the user %q may not use the database: GRANT SELECT ON `%s`.* TO the user (%w)", at, s.user, s.database, err)
		case errTableDenied, errColumnDenied:
			return fmt.Errorf("%s: the user %q may not read the table: GRANT SELECT ON `%s`.`%s` TO the user (%w)", at, s.user, s.database, table, err)
		case errNoTable:
			return fmt.Errorf("%s: database %q has no table %q: create it, or remove it from the dataset (%w)", at, s.database, table, err)
		case errTableChanged:
			return fmt.Errorf("%s: table %s was altered after the snapshot began: run the extraction again (%w)", at, table, err)
		}
		return fmt.Errorf("%s: %w", at, err)
	}
	var network *net.OpError
	if errors.As(err, &network) && network.Op == "dial" || isTimeout(err) {
		return fmt.Errorf("%s cannot be reached: check host and port in the MySQL secret or connection string, that the server runs, and that its security group admits this function (%w)", at, err)
	}
	return fmt.Errorf("%s: %w", at, err)
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func isSyntaxError(err error) bool {
	var answer *mysql.MySQLError
	return errors.As(err, &answer) && (answer.Number == errSyntax || answer.Number == errUnknown)
}
