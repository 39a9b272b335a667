package extract_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/extract"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/mysqltable"
)

func TestWhatIsAlteredLostOrDoubledOnTheWayFailsTheRunAndIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		needle string // in the row
		tamper func(row []byte) [][]byte
		want   []string
	}{
		"a value of a key": {
			"S14567-",
			func(row []byte) [][]byte {
				return [][]byte{bytes.Replace(row, []byte("S14567-"), []byte("S14S67-"), 1)}
			},
			[]string{`row customer = 2081, product = "S14S67-ç"`},
		},
		"a digit of a price": {
			"S14567-",
			func(row []byte) [][]byte { return [][]byte{bytes.Replace(row, []byte("145.67"), []byte("145.68"), 1)} },
			[]string{`row customer = 2081, product = "S14567-ç"`},
		},
		"a lost row": {
			"S14567-",
			func([]byte) [][]byte { return nil },
			[]string{`chunk with key >= ["`, "the server has", extract.ErrDiffers.Error()},
		},
		"a doubled row": {
			"S14567-",
			func(row []byte) [][]byte { return [][]byte{row, row} },
			[]string{"rows asked for arrived: a row was doubled on the way"},
		},
		"a doubled row of the last chunk": {
			"S19999-",
			func(row []byte) [][]byte { return [][]byte{row, row} },
			[]string{`chunk with key >= ["`, "the server has", extract.ErrDiffers.Error()},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, e, dir := setup(t)
			cfg := db.Config()
			cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
				return &wire{Conn: conn, needle: []byte(c.needle), tamper: c.tamper}, err
			}
			var err error
			e.Server, err = mysqltable.Open(cfg)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, e.Server.Close()) })
			_, err = e.Extract(context.Background(), request("ratings"))
			require.Error(t, err)
			for _, part := range c.want {
				require.ErrorContains(t, err, part)
			}
			for key := range objects(t, dir) {
				require.NotContains(t, key, "MANIFEST")
			}
		})
	}
}

func flip(b []byte, at int, bit byte) []byte {
	b = bytes.Clone(b)
	b[at] ^= bit
	return b
}

// wire is a connection on which one row of the server's answers is replaced by others.
type wire struct {
	net.Conn
	needle []byte
	tamper func(row []byte) [][]byte

	in, out []byte
	shift   byte // of the packets' sequence numbers in this answer
	done    bool
}

// Read passes whole packets on: three bytes of length, the sequence number, the body
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html).
func (w *wire) Read(p []byte) (int, error) {
	for len(w.out) == 0 {
		buffer := make([]byte, 16<<10)
		n, err := w.Conn.Read(buffer)
		if err != nil {
			return 0, err
		}
		w.in = append(w.in, buffer[:n]...)
		for len(w.in) >= 4 {
			size := int(w.in[0]) | int(w.in[1])<<8 | int(w.in[2])<<16
			if len(w.in) < 4+size {
				break
			}
			w.pass(w.in[3], w.in[4:4+size])
			w.in = w.in[4+size:]
		}
	}
	n := copy(p, w.out)
	w.out = w.out[n:]
	return n, nil
}

// Write begins another answer.
func (w *wire) Write(p []byte) (int, error) {
	w.shift = 0
	return w.Conn.Write(p)
}

func (w *wire) pass(sequence byte, body []byte) {
	bodies := [][]byte{body}
	if !w.done && len(body) > 0 && body[0] == 0 && bytes.Contains(body, w.needle) {
		w.done, bodies = true, w.tamper(body)
	}
	w.shift-- // the number of the packet itself comes back with the first body
	for _, b := range bodies {
		w.shift++
		w.out = append(w.out, byte(len(b)), byte(len(b)>>8), byte(len(b)>>16), sequence+w.shift)
		w.out = append(w.out, b...)
	}
}

func TestAByteFlippedInAnUploadedFileIsFoundByWhoeverReadsIt(t *testing.T) {
	t.Parallel()
	_, e, _ := setup(t)
	store := e.Store
	e.Store = &noisy{Store: store, at: 5000}
	result, err := e.Extract(context.Background(), request("ratings"))
	require.NoError(t, err, "S3 checks what it is sent; a file that rots there is found on reading")
	damaged := result.Manifest.Files[1]
	r, err := lake.Open(context.Background(), store, damaged)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, r)
	require.ErrorIs(t, err, lake.ErrStale)
	require.ErrorContains(t, err, damaged.Key)
	require.NoError(t, r.Close())
}

// noisy is a store that flips a bit of the second object.
type noisy struct {
	lake.Store
	at, objects int
}

func (n *noisy) Create(ctx context.Context, key string, r io.Reader) error {
	if n.objects++; n.objects != 2 {
		return n.Store.Create(ctx, key, r)
	}
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return n.Store.Create(ctx, key, bytes.NewReader(flip(body, n.at, 1)))
}
