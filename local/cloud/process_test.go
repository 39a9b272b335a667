package cloud_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/local/cloud"
)

// sleeper starts a process in a group of its own, as a server is, and ends it after the test.
func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "300")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	waited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(waited)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-waited
	})
	return cmd
}

// settingsWith returns settings whose directory holds the record of one server.
func settingsWith(t *testing.T, r cloud.Record) cloud.Settings {
	t.Helper()
	s := cloud.Settings{Root: t.TempDir(), Dir: t.TempDir()}
	b, err := json.Marshal(r)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(s.Dir, "run"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(s.Dir, "run", r.Name+".json"), b, 0o644))
	return s
}

func TestDownStopsTheRecordedProcess(t *testing.T) {
	t.Parallel()
	process := sleeper(t)
	started, err := cloud.ProcessStart(process.Process.Pid)
	require.NoError(t, err)
	s := settingsWith(t, cloud.Record{Name: "mysql", PID: process.Process.Pid, Started: started, Stop: syscall.SIGTERM})

	require.NoError(t, cloud.Down(t.Context(), s, io.Discard))
	_, err = cloud.ProcessStart(process.Process.Pid)
	require.Error(t, err, "the process has ended")
	left, err := cloud.Status(s)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestDownSparesAnotherProcessWithTheRecordedPID(t *testing.T) {
	t.Parallel()
	process := sleeper(t)
	s := settingsWith(t, cloud.Record{Name: "mysql", PID: process.Process.Pid, Started: "an earlier process", Stop: syscall.SIGTERM})

	servers, err := cloud.Status(s)
	require.NoError(t, err)
	require.False(t, servers[0].Running(), "the recorded process has ended")
	require.NoError(t, cloud.Down(t.Context(), s, io.Discard))
	time.Sleep(100 * time.Millisecond)
	_, err = cloud.ProcessStart(process.Process.Pid)
	require.NoError(t, err, "the other process lives")
}

func TestDownInsistsOnAProcessThatIgnoresTheSignal(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sh", "-c", "trap '' TERM; sleep 300 & echo $!; wait; sleep 300")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var child int
	_, err = fmt.Fscanln(out, &child)
	require.NoError(t, err)
	waited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(waited)
	}()
	started, err := cloud.ProcessStart(cmd.Process.Pid)
	require.NoError(t, err)
	s := settingsWith(t, cloud.Record{Name: "mysql", PID: cmd.Process.Pid, Started: started, Stop: syscall.SIGTERM})
	require.NoError(t, cloud.Down(t.Context(), s, io.Discard))
	<-waited
	// Killed by the same signal, but Down waits for the recorded process alone.
	require.Eventually(t, func() bool {
		_, err := cloud.ProcessStart(child)
		return err != nil
	}, 5*time.Second, 10*time.Millisecond, "its child has ended, too")
}

func TestProcessStartIsStableForOneProcess(t *testing.T) {
	t.Parallel()
	first, err := cloud.ProcessStart(os.Getpid())
	require.NoError(t, err)
	second, err := cloud.ProcessStart(os.Getpid())
	require.NoError(t, err)
	require.Equal(t, first, second)
}

func TestAServerThatDoesNotComeUpIsToldWithTheEndOfItsLog(t *testing.T) {
	t.Parallel()
	s := cloud.Settings{Root: t.TempDir(), Dir: t.TempDir()}
	err := cloud.StartServer(t.Context(), s, "postgres", "sh", "-c", "echo data directory is damaged >&2; exit 3")
	require.ErrorContains(t, err, "postgres ended at once")
	require.ErrorContains(t, err, "data directory is damaged")

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err = cloud.StartServer(ctx, s, "emulator", "sh", "-c", "echo still importing; exec sleep 300")
	require.ErrorContains(t, err, "no answer")
	require.ErrorContains(t, err, "still importing")
	left, err := cloud.Status(s)
	require.NoError(t, err)
	require.Empty(t, left, "it was stopped again")
}
