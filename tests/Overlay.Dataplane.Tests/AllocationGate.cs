namespace Overlay.Dataplane.Tests;

/// <summary>Tests that count a thread's allocated bytes run alone.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class AllocationGate
{
    public const string Name = "Allocation gate";

    private const int Attempts = 20;

    /// <summary>
    /// Fails if the action allocates on this thread. A garbage collection, which other threads of the test host may cause, adds the unused
    /// rest of the thread's allocation buffer to its count; so a measurement with one in it says nothing and is repeated.
    /// </summary>
    public static void AssertNothingAllocated(Action action)
    {
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            GC.Collect(); // also waits for one that runs in the background
            int collections = GC.CollectionCount(0);
            long before = GC.GetAllocatedBytesForCurrentThread();
            action();
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            if (GC.CollectionCount(0) != collections) continue;
            Assert.Equal(0, allocated);
            return;
        }
        Assert.Fail($"a garbage collection in each of {Attempts} measurements");
    }
}
