package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/seed-462d9463/sluice/shard/journal"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

func dumpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "dump PATH",
		Short: "Print a journal file, a segment, a snapshot or a whole data directory for people to read",
		Long: `Prints what is in a file of the log, or in all files of a data directory: a line for each
batch and each frame, and what is damaged, with its position. It only reads, but what it prints of a
directory that a server is writing to may be half of a change.

Exit codes: 0 done, 1 failed, 2 wrong command line.`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Stat(args[0]); errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("there is no file or directory %s", args[0])
			}
			out := bufio.NewWriter(cmd.OutOrStdout())
			err := journal.Dump(vfs.OS(), args[0], out)
			return errors.Join(err, out.Flush())
		},
	}
}
