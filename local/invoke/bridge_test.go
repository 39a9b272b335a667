package invoke_test

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/local/invoke"
)

// TestContainersReachServersOfTheLoopbackInterface uses one loopback address for the host's end of the containers' network and
// another for the server.
func TestContainersReachServersOfTheLoopbackInterface(t *testing.T) {
	t.Parallel()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				// Answers only after the client has hung up its direction: both must be passed on apart.
				question, _ := io.ReadAll(c)
				_, _ = c.Write([]byte(strings.ToUpper(string(question))))
			}()
		}
	}()

	b := invoke.NewBridge("127.0.0.1")
	address, err := b.Address(server.Addr().String())
	require.NoError(t, err)
	again, err := b.Address(server.Addr().String())
	require.NoError(t, err)
	require.Equal(t, address, again, "one way per server")

	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	_, err = c.Write([]byte("hello"))
	require.NoError(t, err)
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	answer, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "HELLO", string(answer))
	require.NoError(t, c.Close())

	require.NoError(t, b.Close())
	_, err = net.Dial("tcp", address)
	require.Error(t, err, "closed")
}

func TestAnEngineOnAnotherMachineIsReachedThroughDockerDesktopsName(t *testing.T) {
	t.Parallel()
	b := invoke.NewBridge("192.0.2.1") // RFC 5737: nobody's
	address, err := b.Address("127.0.0.1:4566")
	require.NoError(t, err)
	require.Equal(t, "host.docker.internal:4566", address)
}
