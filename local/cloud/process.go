package cloud

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Record is a server that was started, kept in <Dir>/run/<name>.json. Started tells the process from a later one that
// happens to get the same pid: such a process is never signalled.
type Record struct {
	Name    string    `json:"name"`
	Address string    `json:"address"`
	PID     int       `json:"pid"`
	Started string    `json:"started"` // the kernel's start time of the process, comparable and nothing else
	Since   time.Time `json:"since"`
	Log     string    `json:"log"`
	// Stop is the signal that asks the server to end.
	Stop syscall.Signal `json:"stop_signal"`
	// Identity is compared by whoever reuses the server: the settings it was started with.
	Identity string `json:"identity,omitempty"`
}

// server is what start needs to know.
type server struct {
	name        string
	address     string
	identity    string
	dir         string
	command     []string
	environment []string
	attributes  syscall.SysProcAttr
	stop        syscall.Signal
	// ready is asked until it says nil.
	ready func(context.Context) error
}

// readyTimeout is generous: the first start reads everything from disk, on a laptop on battery or a CI machine with neighbours.
const readyTimeout = 60 * time.Second

func (s Settings) recordPath(name string) string { return filepath.Join(s.Dir, "run", name+".json") }

// start runs the server in a process group of its own, so that it outlives us and Ctrl-C does not reach it, and waits until it is ready.
// A server that does not get ready is stopped again.
func (s Settings) start(ctx context.Context, sv server) (Record, error) {
	logFile := s.logPath(sv.name)
	log, err := openLog(logFile)
	if err != nil {
		return Record{}, err
	}
	defer log.Close()
	offset, err := log.Seek(0, 2)
	if err != nil {
		return Record{}, err
	}
	if err := os.MkdirAll(filepath.Join(s.Dir, "run"), 0o755); err != nil {
		return Record{}, err
	}

	cmd := exec.Command(sv.command[0], sv.command[1:]...)
	cmd.Dir, cmd.Env = sv.dir, sv.environment
	cmd.Stdout, cmd.Stderr = log, log
	attributes := sv.attributes
	attributes.Setpgid = true
	cmd.SysProcAttr = &attributes
	if err := cmd.Start(); err != nil {
		return Record{}, fmt.Errorf("start %s: %w", sv.name, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	started, err := processStart(cmd.Process.Pid)
	if err != nil {
		// It ended before it could be looked at, as a rule; whatever the reason, none is left behind.
		_ = cmd.Process.Kill()
		return Record{}, fmt.Errorf("%s ended at once (%v; %w); the end of its log:\n%s", sv.name, <-ended, err, tail(logFile, offset))
	}
	record := Record{
		Name: sv.name, Address: sv.address, PID: cmd.Process.Pid, Started: started, Since: time.Now().UTC(),
		Log: logFile, Stop: sv.stop, Identity: sv.identity,
	}
	if err := writeJSON(s.recordPath(sv.name), record); err != nil {
		return Record{}, errors.Join(err, cmd.Process.Kill())
	}

	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		notReady := sv.ready(ctx)
		if notReady == nil {
			return record, nil
		}
		select {
		case err := <-ended:
			os.Remove(s.recordPath(sv.name))
			return Record{}, fmt.Errorf("%s ended at once (%v); the end of its log:\n%s", sv.name, err, tail(logFile, offset))
		case <-ctx.Done():
			err := fmt.Errorf("%s does not answer at %s: %w; the end of its log (%s):\n%s", sv.name, sv.address, notReady, logFile, tail(logFile, offset))
			return Record{}, errors.Join(err, s.stop(context.WithoutCancel(ctx), record))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// running returns the record of a server if it still runs; the record of one that does not is removed.
func (s Settings) running(name string) (Record, bool, error) {
	var r Record
	err := readJSON(s.recordPath(name), &r)
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, false, nil
	}
	if err != nil {
		return Record{}, false, err
	}
	if r.Running() {
		return r, true, nil
	}
	return Record{}, false, os.Remove(s.recordPath(name))
}

// Running says whether the recorded process, and not another one with its pid, still runs.
func (r Record) Running() bool {
	started, err := processStart(r.PID)
	return err == nil && started == r.Started
}

// stop asks the recorded process to end, insists after a while, ends what is left of its process group, and removes the record.
func (s Settings) stop(ctx context.Context, r Record) error {
	if r.Running() {
		if err := syscall.Kill(r.PID, r.Stop); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop %s (pid %d): %w", r.Name, r.PID, err)
		}
		const patience = 5 * time.Second
		deadline := time.Now().Add(patience)
		for r.Running() && time.Now().Before(deadline) && ctx.Err() == nil {
			time.Sleep(50 * time.Millisecond)
		}
		// The group is the process's own (see start) and keeps its number as long as one of its members lives.
		if err := syscall.Kill(-r.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) && !errors.Is(err, syscall.EPERM) {
			return fmt.Errorf("kill %s (process group %d): %w", r.Name, r.PID, err)
		}
		for r.Running() {
			if time.Now().After(deadline.Add(patience)) {
				return fmt.Errorf("stop %s: pid %d does not end, not even when killed", r.Name, r.PID)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return os.Remove(s.recordPath(r.Name))
}

// records are all servers that were started and not stopped, in the order they were started.
func (s Settings) records() ([]Record, error) {
	files, err := filepath.Glob(filepath.Join(s.Dir, "run", "*.json"))
	if err != nil {
		return nil, err
	}
	var all []Record
	for _, file := range files {
		var r Record
		if err := readJSON(file, &r); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b Record) int { return a.Since.Compare(b.Since) })
	return all, nil
}

// processStart returns a text that two processes with the same pid never share. A process that has ended but was not yet
// waited for counts as gone.
func processStart(pid int) (string, error) {
	if pid <= 0 {
		return "", fmt.Errorf("pid %d: not a process", pid)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat("/proc/self/stat"); err == nil {
			return "", fmt.Errorf("pid %d: no such process", pid)
		}
		return processStartByPS(pid) // no /proc: macOS
	}
	if err != nil {
		return "", err
	}
	// proc(5): the name in parentheses may hold anything; after it comes the state (field 3), and field 22 is the start time in ticks since boot.
	_, rest, ok := strings.Cut(string(stat[max(0, strings.LastIndexByte(string(stat), ')')):]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return "", fmt.Errorf("pid %d: /proc/%d/stat has an unknown form", pid, pid)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return "", fmt.Errorf("pid %d: ended", pid)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(boot)) + "/" + fields[19], nil
}

func processStartByPS(pid int) (string, error) {
	out, err := exec.Command("ps", "-o", "stat=,lstart=", "-p", fmt.Sprint(pid)).Output()
	if err != nil {
		return "", fmt.Errorf("pid %d: no such process", pid)
	}
	status, started, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if strings.HasPrefix(status, "Z") {
		return "", fmt.Errorf("pid %d: ended", pid)
	}
	return strings.TrimSpace(started), nil
}
