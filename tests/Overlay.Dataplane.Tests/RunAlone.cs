namespace Overlay.Dataplane.Tests;

/// <summary>Collection of the tests that count a thread's allocated bytes: none runs beside another test.</summary>
[CollectionDefinition(nameof(RunAlone), DisableParallelization = true)]
public sealed class RunAlone;
