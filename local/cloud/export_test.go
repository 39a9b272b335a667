package cloud

// What the tests of this package look at behind its API.
var (
	ChoosePort   = choosePort
	VenvComplete = venvComplete
	StampVenv    = stampVenv
	ProcessStart = processStart
	SourceHash   = sourceHash
	MySQLSecret  = mysqlSecret
)
