package client

import "context"

// CreateDeliveryStreamInput says what delivery stream is to be made. What is left out has AWS's default.
type CreateDeliveryStreamInput struct {
	DeliveryStreamName                 string
	DeliveryStreamType                 string                              `json:",omitempty"` // DirectPut or KinesisStreamAsSource
	KinesisStreamSourceConfiguration   *KinesisStreamSourceConfiguration   `json:",omitempty"`
	ExtendedS3DestinationConfiguration *ExtendedS3DestinationConfiguration `json:",omitempty"`
}

// KinesisStreamSourceConfiguration names the stream that a delivery stream reads.
type KinesisStreamSourceConfiguration struct {
	KinesisStreamARN string
	RoleARN          string
}

// ExtendedS3DestinationConfiguration says where objects go and what they are like.
type ExtendedS3DestinationConfiguration struct {
	RoleARN                 string
	BucketARN               string
	Prefix                  string                   `json:",omitempty"`
	ErrorOutputPrefix       string                   `json:",omitempty"`
	BufferingHints          *BufferingHints          `json:",omitempty"`
	CompressionFormat       string                   `json:",omitempty"` // UNCOMPRESSED or GZIP
	ProcessingConfiguration *ProcessingConfiguration `json:",omitempty"`
	FileExtension           string                   `json:",omitempty"`
	CustomTimeZone          string                   `json:",omitempty"`
}

// BufferingHints bound what is buffered before an object is written.
type BufferingHints struct {
	SizeInMBs         int
	IntervalInSeconds int
}

// ProcessingConfiguration says what happens to records on their way.
type ProcessingConfiguration struct {
	Enabled    bool
	Processors []Processor `json:",omitempty"`
}

// Processor is one step of a ProcessingConfiguration.
type Processor struct {
	Type       string
	Parameters []ProcessorParameter `json:",omitempty"`
}

// ProcessorParameter is a named value of a Processor.
type ProcessorParameter struct {
	ParameterName  string
	ParameterValue string
}

// CreateDeliveryStream makes a delivery stream. It can be used at once.
func (c *Client) CreateDeliveryStream(ctx context.Context, in CreateDeliveryStreamInput) error {
	return c.call(ctx, firehose, "CreateDeliveryStream", in, nil)
}

type deliveryStreamName struct{ DeliveryStreamName string }

// DeleteDeliveryStream removes a delivery stream with all that it has not delivered.
func (c *Client) DeleteDeliveryStream(ctx context.Context, name string) error {
	return c.call(ctx, firehose, "DeleteDeliveryStream", deliveryStreamName{name}, nil)
}

// DeliveryStreamDescription describes a delivery stream.
type DeliveryStreamDescription struct {
	DeliveryStreamName   string
	DeliveryStreamARN    string
	DeliveryStreamStatus string
	DeliveryStreamType   string
	VersionID            string `json:"VersionId"`
	CreateTimestamp      Time
}

// DescribeDeliveryStream describes a delivery stream.
func (c *Client) DescribeDeliveryStream(ctx context.Context, name string) (DeliveryStreamDescription, error) {
	var out struct{ DeliveryStreamDescription DeliveryStreamDescription }
	err := c.call(ctx, firehose, "DescribeDeliveryStream", deliveryStreamName{name}, &out)
	return out.DeliveryStreamDescription, err
}

// ListDeliveryStreamsInput says which page of delivery streams is wanted.
type ListDeliveryStreamsInput struct {
	Limit                            int    `json:",omitempty"`
	ExclusiveStartDeliveryStreamName string `json:",omitempty"`
}

// ListDeliveryStreamsOutput is a page of delivery streams.
type ListDeliveryStreamsOutput struct {
	DeliveryStreamNames    []string
	HasMoreDeliveryStreams bool
}

// ListDeliveryStreams lists delivery streams by name.
func (c *Client) ListDeliveryStreams(ctx context.Context, in ListDeliveryStreamsInput) (ListDeliveryStreamsOutput, error) {
	var out ListDeliveryStreamsOutput
	err := c.call(ctx, firehose, "ListDeliveryStreams", in, &out)
	return out, err
}

type blob struct{ Data []byte }

// PutDeliveryRecord hands a record to a delivery stream and returns its id.
func (c *Client) PutDeliveryRecord(ctx context.Context, name string, data []byte) (recordID string, err error) {
	in := struct {
		DeliveryStreamName string
		Record             blob
	}{name, blob{present(data)}}
	var out struct {
		RecordID string `json:"RecordId"`
	}
	err = c.call(ctx, firehose, "PutRecord", in, &out)
	if err == nil && out.RecordID == "" {
		err = unanswered("PutRecord")
	}
	return out.RecordID, err
}

// PutRecordBatchOutput tells what became of each record, in their order.
type PutRecordBatchOutput struct {
	FailedPutCount   int
	RequestResponses []PutRecordBatchResult
}

// PutRecordBatchResult is a record's id, or why it was not taken.
type PutRecordBatchResult struct {
	RecordID     string `json:"RecordId"`
	ErrorCode    string // "" when the record was taken
	ErrorMessage string
}

// PutRecordBatch hands at most 500 records of at most 4 MiB together to a delivery stream.
func (c *Client) PutRecordBatch(ctx context.Context, name string, records [][]byte) (PutRecordBatchOutput, error) {
	in := struct {
		DeliveryStreamName string
		Records            []blob
	}{DeliveryStreamName: name}
	for _, data := range records {
		in.Records = append(in.Records, blob{present(data)})
	}
	var out PutRecordBatchOutput
	if err := c.call(ctx, firehose, "PutRecordBatch", in, &out); err != nil {
		return out, err
	}
	told := func(r PutRecordBatchResult) bool { return r.RecordID != "" || r.ErrorCode != "" }
	if !tellsOfEach(out.RequestResponses, len(records), told) {
		return out, unanswered("PutRecordBatch")
	}
	return out, nil
}
