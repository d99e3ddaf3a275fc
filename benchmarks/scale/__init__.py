"""What archives cost that are larger than this machine: a model, and a simulation that checks it.

The planner is the real one, and so is what counts the parts of the upload. Members, workers and the
store are not: members are names and sizes, workers are the times at which they are free, and the
store keeps numbers and sizes of parts. What a member, a byte and a shard cost is measured here;
what cannot be measured here (networks, prices) is assumed, and told so.
"""
