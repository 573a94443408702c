using Overlay.Testing;

namespace Overlay.Dataplane.Tests;

/// <summary>Tests that count a thread's allocated bytes run alone.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class AllocationGate
{
    public const string Name = "Allocation gate";

    /// <summary>Fails if the action allocates on this thread.</summary>
    public static void AssertNothingAllocated(Action action) => Assert.Equal(0, AllocationMeter.Measure(action));
}
