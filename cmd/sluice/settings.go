package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-462d9463/sluice/internal/node"
)

// nodeFlags are the flags of the verbs that run or check a node. A flag that is not given changes nothing.
type nodeFlags struct {
	config, listen, admin, data, limits string
}

func (f *nodeFlags) register(cmd *cobra.Command, defaults node.Config) {
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "YAML file with settings (SLUICE_CONFIG)")
	flags.StringVar(&f.listen, "listen", defaults.Listen, "address of the services (SLUICE_LISTEN)")
	flags.StringVar(&f.admin, "admin", defaults.Admin, "address of health, metrics and profiles (SLUICE_ADMIN)")
	flags.StringVar(&f.data, "data", defaults.Data, "directory that everything is kept in (SLUICE_DATA)")
	flags.StringVar(&f.limits, "limits", defaults.Streams.Limits, "per-shard limits: aws or off (SLUICE_LIMITS)")
}

// registerData registers the flags of a verb that only needs to know where the data is.
func (f *nodeFlags) registerData(cmd *cobra.Command, defaults node.Config) {
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "YAML file with settings (SLUICE_CONFIG)")
	flags.StringVar(&f.data, "data", defaults.Data, "directory that everything is kept in (SLUICE_DATA)")
}

// load gives the settings: defaults, the file over them, the environment over that, flags over all. own sets
// defaults of the verb, below file and environment.
func (f *nodeFlags) load(cmd *cobra.Command, own func(*node.Config)) (node.Config, error) {
	environment := environ()
	file := f.config
	if !cmd.Flags().Changed("config") {
		file = environment[node.EnvPrefix+"CONFIG"]
	}
	defaults := node.Default()
	if own != nil {
		own(&defaults)
	}
	config, err := node.Load(defaults, file, environment)
	if err != nil {
		return node.Config{}, configError(err)
	}
	for name, set := range map[string]func(){
		"listen": func() { config.Listen = f.listen },
		"admin":  func() { config.Admin = f.admin },
		"data":   func() { config.Data = f.data },
		"limits": func() { config.Streams.Limits = f.limits },
	} {
		if cmd.Flags().Changed(name) {
			set()
		}
	}
	if err := config.Validate(); err != nil {
		return node.Config{}, configError(err)
	}
	return config, nil
}

func environ() map[string]string {
	variables := map[string]string{}
	for _, pair := range os.Environ() {
		if name, value, ok := strings.Cut(pair, "="); ok && name != "" {
			variables[name] = value
		}
	}
	return variables
}
