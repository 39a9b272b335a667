package cloud

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that PostgreSQL runs as: it refuses to run as root. The zero value is ourselves.
type account struct {
	other    bool
	uid, gid uint32
	// confined: a directory on the way to the files keeps the account out, so it needs the right to pass all the same.
	confined bool
}

// unprivileged returns ourselves, or the user nobody if we are root. Nothing is added to the system's users and no
// directory's permissions are widened.
func unprivileged(paths ...string) (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return account{}, fmt.Errorf("PostgreSQL does not run as root, and there is no user nobody to run it as: %w: run this as another user", err)
	}
	uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("user nobody: uid %q: %w", nobody.Uid, err)
	}
	gid, err := strconv.ParseUint(nobody.Gid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("user nobody: gid %q: %w", nobody.Gid, err)
	}
	a := account{other: true, uid: uint32(uid), gid: uint32(gid)}
	for _, path := range paths {
		a.confined = a.confined || !reachable(path)
	}
	return a, nil
}

func (a account) attributes() syscall.SysProcAttr {
	if !a.other {
		return syscall.SysProcAttr{}
	}
	attributes := syscall.SysProcAttr{Credential: &syscall.Credential{Uid: a.uid, Gid: a.gid}}
	if a.confined {
		passEverywhere(&attributes)
	}
	return attributes
}

// words is how to call a program as a confined account: the right to pass takes effect in the program that is executed, and
// so not yet in looking that one up. env(1), which everybody can reach, executes the real one.
func (a account) words(program ...string) []string {
	if a.confined {
		return append([]string{"/usr/bin/env"}, program...)
	}
	return program
}

// own gives the account a file or directory with all in it.
func (a account) own(path string) error {
	if !a.other {
		return nil
	}
	return filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(a.uid), int(a.gid))
	})
}
