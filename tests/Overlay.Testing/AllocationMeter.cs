namespace Overlay.Testing;

/// <summary>Counts what a thread allocates.</summary>
public static class AllocationMeter
{
    private const int Attempts = 20;

    /// <summary>
    /// Bytes that the action allocates on this thread. A garbage collection, which other threads of the process may cause, adds the unused
    /// rest of the thread's allocation buffer to its count; so a measurement with one in it says nothing and is repeated.
    /// </summary>
    /// <exception cref="InvalidOperationException">There was a garbage collection in every measurement.</exception>
    public static long Measure(Action action)
    {
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            GC.Collect(); // also waits for one that runs in the background
            int collections = GC.CollectionCount(0);
            long before = GC.GetAllocatedBytesForCurrentThread();
            action();
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            if (GC.CollectionCount(0) == collections) return allocated;
        }
        throw new InvalidOperationException($"a garbage collection in each of {Attempts} measurements");
    }
}
