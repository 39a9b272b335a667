package mysqltable

import (
	"bufio"
	"context"
	"net"
)

// readBuffer is how much is taken from the network at once. The driver takes 4 KiB: a tenth of the
// time of reading a table (measured: 0.60 s of CPU for 2 M rows, with this 0.50).
const readBuffer = 64 << 10

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// buffered connects as dial does; nil is the usual way.
func buffered(dial dialFunc) dialFunc {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext // the driver's context ends with its Timeout
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &bufferedConn{conn, bufio.NewReaderSize(conn, readBuffer)}, nil
	}
}

type bufferedConn struct {
	net.Conn
	reader *bufio.Reader
}

func (c *bufferedConn) Read(p []byte) (int, error) { return c.reader.Read(p) }
