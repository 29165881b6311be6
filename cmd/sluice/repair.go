package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/seed-462d9463/sluice/internal/node"
	"github.com/seed-462d9463/sluice/shard/journal"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

func repairCommand() *cobra.Command {
	var flags nodeFlags
	var yes bool
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Make a damaged data directory usable again, keeping all records that can be read",
		Long: `For a data directory that serve refuses, or of which reads say that it is damaged. Reads all of it,
tells what is damaged and which records are lost, and asks before it changes anything. The originals of
all files that change are kept in a directory of their own in the data directory, repair-DATE-TIME. Records
that can be read keep their offsets; readers pass over those that are lost.

Stop the server first. Without a terminal to ask on, nothing is changed unless --yes is given.

Exit codes: 0 nothing was damaged, or it is repaired, 1 failed, or the answer was no, 2 wrong command line,
3 wrong configuration, 4 ended by a signal; whatever it was at, it can be run again.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := flags.load(cmd, nil)
			if err != nil {
				return err
			}
			return repair(cmd, config.Data, yes)
		},
	}
	flags.registerData(cmd, node.Default())
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func repair(cmd *cobra.Command, dir string, yes bool) error {
	out := cmd.OutOrStdout()
	var changing atomic.Bool
	// At once: a repair may be cut off anywhere, and waits in places where nothing else would end it.
	defer context.AfterFunc(cmd.Context(), func() {
		done := "nothing was changed"
		if changing.Load() {
			done = "the repair has been begun and has not ended; run it again"
		}
		fmt.Fprintf(os.Stderr, "\nsluice: ended by a signal: %s\n", done)
		os.Exit(exitSignal)
	})()
	var refused error
	plan, err := journal.Repair(journal.RepairOptions{FS: vfs.OSWithoutLinks(), Dir: dir, Now: time.Now(), Own: own}, func(p *journal.RepairPlan) (bool, error) {
		if err := p.Write(out); err != nil {
			return false, err
		}
		if !yes {
			refused = confirm(cmd.InOrStdin(), out)
		}
		changing.Store(refused == nil)
		return refused == nil, nil
	})
	if err = errors.Join(err, refused); err != nil {
		return err
	}
	if plan.Sound() {
		return plan.Write(out)
	}
	_, err = fmt.Fprintln(out, "Repaired.")
	return err
}

// confirm asks whether to go on. Only a terminal can answer.
func confirm(in io.Reader, out io.Writer) error {
	file, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return errors.New("nothing was changed: there is no terminal to ask on; give --yes to repair without asking")
	}
	fmt.Fprint(out, "Repair it? [y/N] ")
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}

// own gives what was made the owner of something that was there, if this is root, and to a file the mode of a file: the
// server that uses the directory is often somebody else. Never through a symbolic link, which that user could have put
// there.
func own(name, like string) error {
	var st unix.Stat_t
	if err := unix.Lstat(like, &st); err != nil {
		return &os.PathError{Op: "stat", Path: like, Err: err}
	}
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if os.Geteuid() == 0 {
		if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	made, err := f.Stat()
	if err != nil || made.IsDir() || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return err
	}
	return f.Chmod(os.FileMode(st.Mode & 0o777))
}
