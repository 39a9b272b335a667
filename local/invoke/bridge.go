package invoke

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// dockerDesktopHost is the host's loopback interface, as containers of Docker Desktop see it.
const dockerDesktopHost = "host.docker.internal"

// dial connects to a server on the host.
type dial func() (net.Conn, error)

// bridge lets containers reach servers that listen on the host's loopback interface only, as those of the local cloud do: it
// listens on the host's end of the engine's network, which containers and the host see and nobody else, and passes connections on.
type bridge struct {
	gateway string // the host's address in the engine's network

	mu        sync.Mutex
	listeners []net.Listener
	reached   map[string]string
}

func newBridge(ctx context.Context) (*bridge, error) {
	// SAM's containers are on the network named bridge: its --docker-network adds another and never takes that one away.
	config, err := docker(ctx, nil, "network", "inspect", "bridge", "--format",
		`{{range .IPAM.Config}}{{println .Gateway}}{{end}}{{println (index .Options "com.docker.network.bridge.name")}}`)
	if err != nil {
		return nil, err
	}
	for _, word := range strings.Fields(config) {
		if net.ParseIP(word) != nil {
			return &bridge{gateway: word, reached: map[string]string{}}, nil
		}
		// An engine that has just made its bridge names no gateway until it is started again: the interface has the address.
		if gateway := addressOf(word); gateway != "" {
			return &bridge{gateway: gateway, reached: map[string]string{}}, nil
		}
	}
	return nil, fmt.Errorf("the Docker network bridge has no gateway (%q): start dockerd without --bridge=none", config)
}

// addressOf is the first IPv4 address of a network interface, "" if there is none.
func addressOf(name string) string {
	device, err := net.InterfaceByName(name)
	if err != nil {
		return ""
	}
	addresses, err := device.Addrs()
	if err != nil {
		return ""
	}
	for _, a := range addresses {
		if network, ok := a.(*net.IPNet); ok && network.IP.To4() != nil {
			return network.IP.String()
		}
	}
	return ""
}

// address returns the address at which a container reaches the server at target on the host.
func (b *bridge) address(target string, connect dial) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known, ok := b.reached[target]; ok {
		return known, nil
	}
	host := b.gateway
	listener, err := net.Listen("tcp", net.JoinHostPort(b.gateway, "0"))
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		// The engine is in a virtual machine of Docker Desktop, which leads to the host's loopback interface by itself.
		host = dockerDesktopHost
		listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return "", fmt.Errorf("a way from containers to %s: %w", target, err)
	}
	go accept(listener, connect)
	b.listeners = append(b.listeners, listener)
	b.reached[target] = net.JoinHostPort(host, strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
	return b.reached[target], nil
}

func accept(listener net.Listener, connect dial) {
	for {
		container, err := listener.Accept()
		if err != nil {
			return // closed
		}
		go func() {
			defer container.Close()
			server, err := connect()
			if err != nil {
				return // the function sees a server that hangs up
			}
			defer server.Close()
			var both sync.WaitGroup
			both.Go(func() { carry(server, container) })
			both.Go(func() { carry(container, server) })
			both.Wait()
		}()
	}
}

// carry copies one direction until it ends, and hangs up that direction.
func carry(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// Close ends the listening. Connections end with their containers.
func (b *bridge) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []error
	for _, listener := range b.listeners {
		all = append(all, listener.Close())
	}
	return errors.Join(all...)
}
