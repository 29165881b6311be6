// Package e2e tests the real sluice binary from outside, as its users meet it: unmodified AWS clients, kill -9
// under load with a ledger of what was acknowledged, full disks, hostile requests. It imports nothing of Sluice.
package e2e
