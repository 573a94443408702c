// A program that one test starts holds copies of all descriptors between fork and exec, so that a device another test has just closed
// would still exist for a moment.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
