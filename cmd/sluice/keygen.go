package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed-462d9463/sluice/internal/keyring"
)

func keygenCommand() *cobra.Command {
	var rotate bool
	cmd := &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make a key file for the encryption of streams",
		Long: `Makes a file with a new key, for encryption.key_file or encryption.keys: a Tink keyset in JSON, which
only its owner can read. Keep a copy in a safe place: without the key, what it encrypts is lost.

With --rotate, a new key is added to a file that is there, and encrypts from then on. The earlier keys
stay in it, to decrypt. A server reads its key files when it starts.

Exit codes: 0 done, 1 failed, 2 wrong command line.`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if rotate {
				if err := keyring.Rotate(args[0]); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s has a new key. Restart the server, and start the encryption of its streams again.\n", args[0])
				return nil
			}
			if err := keyring.Create(args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s has a new key. Keep a copy: without it, what it encrypts is lost.\n", args[0])
			return nil
		},
	}
	cmd.Flags().BoolVar(&rotate, "rotate", false, "add a new key to a key file")
	return cmd
}
