package cloud

import (
	"fmt"
	"net"
	"strconv"
	"time"
)

const loopback = "127.0.0.1"

// choosePort returns the port that the user asked for, or fails if it is occupied; or the preferred one; or any free one.
func choosePort(setting string, asked, preferred int) (int, error) {
	if asked != 0 {
		if !portFree(asked) {
			return 0, fmt.Errorf("%s=%d: port %d is occupied by another program: choose another port, or unset %s to have a free one chosen", setting, asked, asked, setting)
		}
		return asked, nil
	}
	if portFree(preferred) {
		return preferred, nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return 0, fmt.Errorf("no free port on %s: %w", loopback, err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// lastPort is the port of the address a server had before, if it had one: warm functions still know that address.
func lastPort(address string, otherwise int) int {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return otherwise
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return otherwise
	}
	return number
}

// portFree asks twice: a listener on all addresses does not keep macOS from giving the port on one address to another program.
func portFree(port int) bool {
	address := net.JoinHostPort(loopback, strconv.Itoa(port))
	if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		c.Close()
		return false
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	l.Close()
	return true
}
