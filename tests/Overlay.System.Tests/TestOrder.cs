using Xunit.Abstractions;

[assembly: CollectionBehavior(DisableTestParallelization = true)]
[assembly: TestCollectionOrderer("Overlay.SystemTests.TestOrder", "Overlay.System.Tests")]

namespace Overlay.SystemTests;

/// <summary>
/// One test at a time, for two labs would disturb each other on a small machine; what measures comes last, when nothing else is left to do.
/// </summary>
public sealed class TestOrder : ITestCollectionOrderer
{
    /// <summary>Name of the collection that runs last.</summary>
    public const string Last = "last";

    public IEnumerable<ITestCollection> OrderTestCollections(IEnumerable<ITestCollection> testCollections) =>
        testCollections.OrderBy(collection => collection.DisplayName == Last).ThenBy(collection => collection.DisplayName, StringComparer.Ordinal);
}
