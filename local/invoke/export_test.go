package invoke

// What the tests of this package look at behind its API.
var (
	ForLake  = forLake
	Decode   = decode
	Reason   = reason
	Template = template
)

// NewBridge is a bridge at the address given instead of the engine's gateway.
func NewBridge(gateway string) interface {
	Address(target string) (string, error)
	Close() error
} {
	return exported{&bridge{gateway: gateway, reached: map[string]string{}}}
}

type exported struct{ *bridge }

func (e exported) Address(target string) (string, error) { return e.address(target) }
