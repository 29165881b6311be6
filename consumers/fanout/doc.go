// Package fanout is enhanced fan-out: the consumers that are registered with streams, and their subscriptions, to
// which the records of a shard are pushed.
//
// # How a record gets to its subscribers
//
// Those who have caught up with a shard follow its feed: one reader of the log, which sleeps until there is something
// new, reads it once, and keeps it in a window until all its followers have taken it. A window is bounded, each for
// itself and all together. Who takes too long finds that the window has moved on; he then reads the log himself until
// he has caught up, and follows again. So nobody waits for anybody else, a backlog costs no memory, and a feed without
// followers does not exist.
//
// A subscription that has nothing to tell costs a timer.
package fanout
