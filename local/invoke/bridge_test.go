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

	connect := func() (net.Conn, error) { return net.Dial("tcp", server.Addr().String()) }
	b := invoke.NewBridge("127.0.0.1")
	address, err := b.Address(server.Addr().String(), connect)
	require.NoError(t, err)
	again, err := b.Address(server.Addr().String(), connect)
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
	address, err := b.Address("a server", func() (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			_, _ = there.Write([]byte("reached"))
			there.Close()
		}()
		return here, nil
	})
	require.NoError(t, err)
	defer b.Close()
	host, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	require.Equal(t, "host.docker.internal", host)
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
	require.NoError(t, err)
	answer := make([]byte, len("reached"))
	_, err = io.ReadFull(c, answer)
	require.NoError(t, err)
	require.Equal(t, "reached", string(answer))
	require.NoError(t, c.Close())
}
