package catalog

import (
	"context"
	"errors"
)

// lossKey is an entry that is there once records of the catalog have been lost: the log itself forgets it when the
// records around them are trimmed.
var lossKey = Key{Account: "sluice", Region: "all", Kind: "catalog", Name: "incomplete"}

// noteLoss writes down, for good, that the catalog is incomplete.
func (c *Catalog) noteLoss(ctx context.Context) error {
	if !c.Complete() {
		return nil
	}
	c.logger.Warn("records of the catalog were lost in a repair: definitions may be missing, or as they were earlier")
	_, err := c.Put(ctx, lossKey, struct{}{}, 0)
	var conflict *ConflictError
	if errors.As(err, &conflict) { // another node was faster
		return nil
	}
	return err
}

// Complete tells whether the catalog holds every definition that was ever made and not deleted. If a repair has given
// up records of it, what the catalog does not know must not be taken for left over, and removed.
func (c *Catalog) Complete() bool {
	_, lost := c.Get(lossKey)
	return !lost
}
