package cloud

import (
	"context"
	"errors"
	"syscall"
)

// What the tests of this package look at behind its API.
var (
	ChoosePort   = choosePort
	VenvComplete = venvComplete
	StampVenv    = stampVenv
	ProcessStart = processStart
	SourceHash   = sourceHash
	MySQLSecret  = mysqlSecret
)

// StartServer starts a server that never says it is ready.
func StartServer(ctx context.Context, s Settings, name string, words ...string) error {
	_, err := s.start(ctx, server{
		name: name, address: "nowhere", dir: s.Dir, command: words, stop: syscall.SIGTERM,
		ready: func(context.Context) error { return errors.New("no answer") },
	})
	return err
}
