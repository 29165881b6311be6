// Package mutant breaks the log engine on purpose, so that the crash campaign can show that it would notice. A program
// that is not built with the tag "mutant", which is every one but that test's, has none of it: On is constantly false
// there.
//
// Not listed, because no crash shows them: that the torn tail of a segment is not cut, since what is behind the bytes
// that count is never read; that a new journal file's zeros are not synced, since its batches are; that sums in segments
// are not checked, which only damage shows, and the tests of damage are about that.
package mutant

// Mutant is one way to break the engine.
type Mutant string

// What the tests' file system leaves out, as if the engine did.
const (
	SkipJournalSync    Mutant = "the journal is not synced"
	SkipSegmentSync    Mutant = "segments are not synced"
	SkipLogDirSync     Mutant = "the directories of new segments are not synced"
	SkipShardsSync     Mutant = "the directory of new logs is not synced"
	SkipSnapshotSync   Mutant = "snapshots are not synced"
	SkipMetaSync       Mutant = "the directory of snapshots is not synced"
	SkipJournalDirSync Mutant = "the directory of new journal files is not synced"
	SkipCompressedSync Mutant = "compressed segments are not synced"
	IgnoreFailedSync   Mutant = "a failed sync is ignored"
	RetryFailedSync    Mutant = "a failed sync is tried again"
)

// What a start leaves out.
const (
	SkipStartSync Mutant = "a start does not sync the journal that it shows"
	SkipRewrite   Mutant = "a start does not write the last batch again"
	SkipRename    Mutant = "a start trusts the snapshot's name"
	TrustNewDirs  Mutant = "a start trusts the names of directories"
	TrustNewFiles Mutant = "a start uses journal files that no snapshot lists"
	SkipBatchSum  Mutant = "a start does not check the sums of batches"
	SkipPayloads  Mutant = "a start checks the sums of batches, and not those of the payloads in them"
	SkipChanges   Mutant = "a start does not apply changes of topics again"
)

// What is done too soon, or not as it should be.
const (
	AcknowledgeUnsynced Mutant = "a batch is acknowledged before it is synced"
	MarkFirst           Mutant = "a mark is left before the batch is durable"
	CheckpointAtEnd     Mutant = "a checkpoint forgets what is not flushed"
	SnapshotFirst       Mutant = "the snapshot is written before segments are synced"
	RecycleFirst        Mutant = "journal files are freed before the snapshot is durable"
	RecycleNeeded       Mutant = "a journal file is freed when only its first batch is not needed"
	RemoveSnapshotFirst Mutant = "the older snapshot is removed before the new one is durable"
	RemovePlainFirst    Mutant = "plain segments are removed before the snapshot names the compressed ones"
	TrimFirst           Mutant = "a trim is applied before it is durable"
	ChangeFirst         Mutant = "a topic is made or deleted before that is durable"
	ReuseIDs            Mutant = "the ids of deleted logs are given again"
	KeepPlaces          Mutant = "appends that found no space keep their places"
	JoinLate            Mutant = "appends join a batch that is being written"
	ForgetPlaces        Mutant = "a checkpoint forgets what has left the cache before it was flushed"
	TrimBySizeFirst     Mutant = "a trim by size is applied before it is durable"
	ReuseUnwritten      Mutant = "a buffer is used again before its frame is written"
	LeaveOutFrames      Mutant = "the sum of a batch does not say which frames are in it"
	ReuseSlab           Mutant = "a slab is used again before the frames in it are written"
)

// All are all of them.
var All = []Mutant{
	SkipJournalSync, SkipSegmentSync, SkipLogDirSync, SkipShardsSync, SkipSnapshotSync, SkipMetaSync, SkipJournalDirSync,
	SkipCompressedSync, IgnoreFailedSync, RetryFailedSync,
	SkipStartSync, SkipRewrite, SkipRename, TrustNewDirs, TrustNewFiles, SkipBatchSum, SkipPayloads, SkipChanges,
	AcknowledgeUnsynced, MarkFirst, CheckpointAtEnd, SnapshotFirst, RecycleFirst, RecycleNeeded, RemoveSnapshotFirst,
	RemovePlainFirst, TrimFirst, ChangeFirst, ReuseIDs, KeepPlaces, JoinLate, ForgetPlaces,
	TrimBySizeFirst, ReuseUnwritten, LeaveOutFrames, ReuseSlab,
}
