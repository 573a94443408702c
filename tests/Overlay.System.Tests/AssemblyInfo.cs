// Two labs at a time would disturb each other's timing on a small machine.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
