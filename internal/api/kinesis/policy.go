package kinesis

import (
	"context"

	"github.com/seed-462d9463/sluice/internal/api/policy"
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// PutResourcePolicyInput is AWS's shape of that name.
type PutResourcePolicyInput struct {
	ResourceARN *string
	StreamId    *string
	Policy      *string
}

// ResourcePolicyInput is AWS's GetResourcePolicyInput and DeleteResourcePolicyInput.
type ResourcePolicyInput struct {
	ResourceARN *string
	StreamId    *string
}

// GetResourcePolicyOutput is AWS's shape of that name.
type GetResourcePolicyOutput struct {
	Policy string
}

// noPolicy is what AWS returns of a resource without a policy.
const noPolicy = "{}"

func (a *api) putResourcePolicy(ctx context.Context, c wire.Caller, in *PutResourcePolicyInput, _ *wire.Nothing) error {
	r, err := parseResource(c, *in.ResourceARN)
	if err != nil {
		return err
	}
	text := *in.Policy
	return a.setPolicy(ctx, c, r, func(string) (string, error) {
		if len(text) > stream.MaxPolicyBytes {
			return "", wire.Faultf(invalidArgument, "Invalid policy: %d bytes, at most %d.", len(text), stream.MaxPolicyBytes)
		}
		if _, err := policy.Parse(text, scopeOf(r.arn)); err != nil {
			return "", wire.Faultf(invalidArgument, "Invalid policy: %s.", err)
		}
		return text, nil
	})
}

func (a *api) getResourcePolicy(_ context.Context, c wire.Caller, in *ResourcePolicyInput, out *GetResourcePolicyOutput) error {
	r, err := parseResource(c, *in.ResourceARN)
	if err != nil {
		return err
	}
	out.Policy, err = a.policyText(r)
	if out.Policy == "" {
		out.Policy = noPolicy
	}
	return err
}

func (a *api) deleteResourcePolicy(ctx context.Context, c wire.Caller, in *ResourcePolicyInput, _ *wire.Nothing) error {
	r, err := parseResource(c, *in.ResourceARN)
	if err != nil {
		return err
	}
	return a.setPolicy(ctx, c, r, func(before string) (string, error) {
		if before == "" {
			return "", wire.Faultf(resourceNotFound, "No resource policy found for resource ARN %s", r.arn)
		}
		return "", nil
	})
}

// setPolicy changes the policy of a resource.
func (a *api) setPolicy(ctx context.Context, c wire.Caller, r resource, change func(before string) (string, error)) error {
	if r.consumer != "" {
		consumer, err := a.consumerOf(c, r)
		if err != nil {
			return err
		}
		_, err = a.consumers.SetPolicy(ctx, consumer, change)
		return consumerFault(err, r.stream, r.consumer)
	}
	return fault(a.streams.Amend(ctx, r.stream, func(s *stream.Settings) (err error) {
		s.Policy, err = change(s.Policy)
		return err
	}), r.stream, "")
}
