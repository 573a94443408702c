using Overlay.Agent.Control;
using Overlay.Rpc.Control;

namespace Overlay.Agent.Tests.Control;

/// <summary>What a node keeps of what controllers tell.</summary>
public sealed class ControlStateTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("ovt-state-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Save_ManyChanges_AreThereAgainAfterARestart()
    {
        var state = new ControlState(_folder, "a");
        Assert.False(state.IsSaveDue);
        Assert.True(state.Take(new WatchResponse { Revision = 9, Reset = true, Changes = { Enumerable.Range(0, 450).Select(i => Block(i, i % 2 == 0 ? "a" : "b")) } }));
        Assert.True(state.IsSaveDue);
        Assert.True(state.Save());

        var reopened = new ControlState(_folder, "a");

        Assert.False(state.Save());
        Assert.Equal(9, reopened.Revision);
        Assert.Equal(state.View().All.OrderBy(change => change.Key), reopened.View().All.OrderBy(change => change.Key));
        Assert.Equal(225, reopened.Own().Blocks.Count());
    }

    [Fact]
    public void Own_UntilSomethingOfTheNodesChanges_IsTheSame()
    {
        var state = new ControlState(_folder, "a");
        state.Take(new WatchResponse { Revision = 1, Reset = true, Changes = { Block(1, "a"), Block(2, "b") } });
        ControlView before = state.Own();
        state.Take(new WatchResponse { Revision = 2, Changes = { Block(3, "b") } });
        Assert.Same(before, state.Own());

        state.Take(new WatchResponse { Revision = 3, Changes = { Block(1, "") } });
        Assert.Empty(state.Own().Blocks);
        ControlView none = state.Own();
        Change lent = Block(4, "b");
        lent.Block.LentBy = "a";
        state.Take(new WatchResponse { Revision = 4, Changes = { lent } });

        Assert.NotSame(none, state.Own());
        Assert.Equal("b", state.Own().Blocks.Single().Holder);
    }

    [Fact]
    public void Take_PartsOfARevision_CountOnlyAsAWhole()
    {
        var state = new ControlState(_folder, "a");
        state.Take(new WatchResponse { Revision = 1, Reset = true, Changes = { Block(1, "a") } });
        Assert.False(state.Take(new WatchResponse { Revision = 5, More = true, Changes = { Block(2, "a") } }));
        state.DropParts();

        Assert.Equal((1, 1), (state.Revision, state.View().Blocks.Count()));
    }

    private static Change Block(int number, string holder) => new()
    {
        Key = $"state/blocks/pods/10.{number / 256}.{number % 256}.0-26",
        Block = new Block { Network = "pods", Prefix = $"10.{number / 256}.{number % 256}.0/26", Holder = holder },
    };
}
