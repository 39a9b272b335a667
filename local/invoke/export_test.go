package invoke

import "net"

// What the tests of this package look at behind its API.
var (
	ForLake  = forLake
	Decode   = decode
	Reason   = reason
	Template = template
)

// Bridge is a bridge at an address of the test's choice instead of the engine's gateway.
type Bridge struct{ *bridge }

func NewBridge(gateway string) Bridge {
	return Bridge{&bridge{gateway: gateway, reached: map[string]string{}}}
}

func (b Bridge) Address(target string, connect func() (net.Conn, error)) (string, error) {
	return b.address(target, connect)
}
