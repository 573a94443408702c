using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Google.Protobuf;
using Microsoft.Extensions.Logging.Abstractions;
using Overlay.Agent.Configuration;
using Overlay.Agent.Control;
using Overlay.Control.Ipam;
using Overlay.Linux;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;
using Overlay.Rpc.Security;

namespace Overlay.Agent.Tests.Control;

/// <summary>A node's side of the conversation, with controllers that say whatever a test wants.</summary>
public sealed class ControlSessionTests : IAsyncLifetime, IDisposable
{
    private const string Own = "10.244.1.0/26";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _folder = Directory.CreateTempSubdirectory("ovt-session-").FullName;
    private readonly List<SpokenController> _controllers = [];
    private NodeAllocator? _allocator;
    private ControlState _state = null!;
    private ControlSession _session = null!;
    private CancellationTokenSource? _stop;
    private Task _running = Task.CompletedTask;

    public Task InitializeAsync()
    {
        IssuedCertificate authority = CertificateAuthority.Create("test", DateTimeOffset.UtcNow, TimeSpan.FromDays(1));
        File.WriteAllText($"{_folder}/ca.pem", authority.CertificatePem);
        using var signer = CertificateAuthority.Open(authority.CertificatePem, authority.KeyPem);
        foreach ((string file, CertificateRole role, string[] hosts) in new[] { ("controller", CertificateRole.Controller, new[] { "127.0.0.1" }), ("a", CertificateRole.Node, []) })
        {
            IssuedCertificate made = signer.Issue(new CertificateIdentity(role, file), hosts, DateTimeOffset.UtcNow, TimeSpan.FromHours(2));
            File.WriteAllText($"{_folder}/{file}.pem", made.CertificatePem);
            File.WriteAllText($"{_folder}/{file}.key", made.KeyPem);
        }
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        await StopAsync();
        foreach (SpokenController controller in _controllers) await controller.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    public void Dispose()
    {
        _stop?.Dispose();
        _allocator?.Dispose();
    }

    /// <summary>
    /// A node that is cut off for so long that others may have its blocks hands out no more of them, also after a restart; it tells which, since when and what to
    /// do. Back again, it goes on with those that are its own still, and says whose addresses are another's.
    /// </summary>
    [Fact]
    public async Task Node_CutOffForLongerThanItsBlocksAreItsOwn_HandsOutNoMoreOfThemUntilAControllerSaysWhichAre()
    {
        SpokenController controller = await AddControllerAsync();
        controller.State = State(2, Block(Own, "a"));
        Start("a");
        Allocation first = await AllocateAsync("before", AllocationStatus.Allocated);

        await controller.StopAsync();
        Allocation refused = await AllocateAsync("meanwhile", AllocationStatus.Unconfirmed, release: true);
        Assert.Matches($"^no controller has confirmed this node's blocks for \\d+ s, and after 2 s others may get them: no new address of {Own} is handed out until a controller is reached", refused.Problem);
        Assert.Contains(refused.Problem![^20..], string.Join(' ', _session.Problems), StringComparison.Ordinal);
        Assert.Equal(AllocationStatus.Unchanged, Allocate("before").Status);
        await StopAsync();
        Start("a");
        Assert.Equal(AllocationStatus.Unconfirmed, Allocate("restarted").Status);

        controller.State = State(7, Block(Own, "b"), Block("10.244.2.0/26", "a"));
        controller.Acquire = request => throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"{request.Prefix} is held by 'b'");
        await controller.StartAsync();
        Allocation other = await AllocateAsync("late", AllocationStatus.Allocated);

        Assert.True(IPNetwork.Parse("10.244.2.0/26").Contains(other.Address!));
        await UntilAsync(() => _session.Problems.Any(problem => problem.StartsWith(
            $"the block {Own} was taken from this node, and 1 of its addresses are in use here ({first.Address} of before): {Own} is held by 'b'; delete the pods", StringComparison.Ordinal)));
        Assert.Equal(1, _allocator!.Release("pods", "before"));
        await UntilAsync(() => !_allocator.Blocks.Contains(IPNetwork.Parse(Own)) && _session.Problems.All(problem => !problem.Contains(Own, StringComparison.Ordinal)));
    }

    /// <summary>Renewals alone keep blocks, for longer than one of them does.</summary>
    [Fact]
    public async Task Node_ThatRenewsItsLease_HandsOutAddressesForAsLong()
    {
        SpokenController controller = await AddControllerAsync();
        controller.Register = _ => new RegisterResponse { Generation = 1, Lease = 1, LeaseSeconds = 1, HoldSeconds = 3, Revision = 1 };
        controller.State = State(2, Block(Own, "a"));
        Start("a");
        long start = Stopwatch.GetTimestamp();

        await UntilAsync(() => Stopwatch.GetElapsedTime(start) > TimeSpan.FromSeconds(4) && controller.Renewals > 3);

        await AllocateAsync("pod", AllocationStatus.Allocated);
        Assert.Equal(1, controller.Registrations);
    }

    /// <summary>What it knows of its blocks is of before; only what a controller tells now counts.</summary>
    [Fact]
    public async Task Node_RegisteredButNotToldOfItsBlocks_HandsOutNothing()
    {
        SpokenController controller = await AddControllerAsync();
        controller.State = State(5, Block(Own, "a"));
        Start("a");
        await AllocateAsync("before", AllocationStatus.Allocated);
        await controller.StopAsync();
        await AllocateAsync("meanwhile", AllocationStatus.Unconfirmed, release: true);
        // Another history, which begins anew: what it says of revision 3 is younger than what is known of revision 5.
        controller.Register = _ => new RegisterResponse { Generation = 1, Lease = 1, LeaseSeconds = 1, HoldSeconds = 60, Revision = 3 };
        controller.State = State(2, more: true);
        await controller.StartAsync();
        await UntilAsync(() => controller.Renewals > 2 && _session.Connected is not null);
        Assert.Equal(AllocationStatus.Unconfirmed, Allocate("early").Status);

        controller.State = State(3, Block(Own, "a"));

        await AllocateAsync("late", AllocationStatus.Allocated);
    }

    /// <summary>By the backup a block is its own that it gave back since: another node may have got it, and has pods there.</summary>
    [Fact]
    public async Task Node_ThatGaveABlockBackSinceTheBackupThatWasRestored_GivesItBackAgainAndHandsOutNothingOfIt()
    {
        const string stale = "10.244.2.0/26";
        SpokenController controller = await AddControllerAsync();
        controller.State = State(9, Block(Own, "a"));
        Start("a");
        await AllocateAsync("before", AllocationStatus.Allocated);
        await controller.StopAsync();
        await AllocateAsync("meanwhile", AllocationStatus.Unconfirmed, release: true);
        var given = new ConcurrentQueue<string>();
        controller.Release = request =>
        {
            given.Enqueue(request.Prefix);
            return new ReleaseBlockResponse { Revision = 4 };
        };
        controller.IsRestored = true;
        controller.State = State(3, Block(Own, "a"), Block(stale, "a"));
        await controller.StartAsync();

        await AllocateAsync("late", AllocationStatus.Allocated);

        await UntilAsync(() => !given.IsEmpty);
        Assert.Equal([IPNetwork.Parse(Own)], _allocator!.Blocks);
        controller.State = State(4, Block(Own, "a"), Block(stale, ""));
        await UntilAsync(() => _state.Revision == 4);
        Assert.Equal([IPNetwork.Parse(Own)], _allocator.Blocks);
        Assert.Equal([stale], given);
    }

    [Fact]
    public async Task Node_ThatWasRefusedABlockAndNeedsNoneAnyMore_TellsItNoMore()
    {
        SpokenController controller = await AddControllerAsync();
        controller.State = State(2, Block(Own, "a"));
        Start("a", lowWater: 100);
        await AllocateAsync("pod", AllocationStatus.Allocated);
        await UntilAsync(() => _session.Problems.Contains("none is free"));

        controller.State = State(3, Block(Own, "a"), Block("10.244.2.0/26", "a"));

        await UntilAsync(() => !_session.Problems.Contains("none is free"));
    }

    [Fact]
    public async Task Node_WhoseNameAnotherMachineHas_HandsOutNothingMoreAtOnce()
    {
        SpokenController controller = await AddControllerAsync();
        controller.Register = _ => new RegisterResponse { Generation = 1, Lease = 1, LeaseSeconds = 1, HoldSeconds = 3600, Revision = 1 };
        controller.State = State(2, Block(Own, "a"));
        Start("a");
        await AllocateAsync("before", AllocationStatus.Allocated);

        await controller.StopAsync();
        controller.Register = _ => throw new GrpcException(GrpcStatusCode.AlreadyExists, "the name 'a' is that of machine m2");
        await controller.StartAsync();

        Allocation refused = await AllocateAsync("late", AllocationStatus.Unconfirmed, release: true);
        Assert.StartsWith("the controllers take another machine for this node, which may have its blocks", refused.Problem, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Node_WithSeveralControllers_BeginsWithItsOwnAndTriesTheOthersInTheirOrder()
    {
        for (int i = 0; i < 3; i++) await AddControllerAsync();
        int first = ControlSession.FirstOf("a", 3);
        Start("a");
        await UntilAsync(() => IsWith(first));
        Assert.Equal(1, _controllers.Sum(each => each.Registrations));

        await _controllers[first].StopAsync();
        await UntilAsync(() => IsWith(first + 1));
        Assert.Equal(0, _controllers[(first + 2) % 3].Registrations);
        await _controllers[(first + 1) % 3].StopAsync();
        await UntilAsync(() => IsWith(first + 2));
        await _controllers[first].StartAsync();
        await _controllers[(first + 2) % 3].StopAsync();
        await UntilAsync(() => IsWith(first));

        bool IsWith(int controller) => _session.Connected == $"127.0.0.1:{_controllers[controller % 3].EndPoint.Port}";
    }

    [Fact]
    public void FirstOf_ManyNodes_SpreadsThemEvenlyAndAlwaysAlike()
    {
        int[] nodes = new int[3];
        for (int i = 0; i < 3000; i++) nodes[ControlSession.FirstOf($"node-{i}", 3)]++;

        Assert.All(nodes, count => Assert.InRange(count, 900, 1100));
        Assert.Equal((0, 0), (ControlSession.FirstOf("node-1", 1), ControlSession.FirstOf("", 1)));
    }

    /// <summary>Messages with what no version of today knows: fields, kinds, encapsulations, addresses.</summary>
    [Fact]
    public async Task Controller_OfANewerVersion_IsUnderstoodAsFarAsCanBeAndTheRestIsToldAndKept()
    {
        SpokenController controller = await AddControllerAsync();
        controller.Register = _ => WithUnknownField(new RegisterResponse { Generation = 1, Lease = 1, LeaseSeconds = 1, HoldSeconds = 60, Revision = 1 });
        WatchResponse told = State(2, Block(Own, "a"), Block("10.244.9.0:26", "b"), new Change { Key = "state/networks/odd", Network = new Network { Name = "odd", Vni = 9, Encapsulation = "gre" } });
        // Field 15 of a change, whose kind nobody knows.
        told.Changes.Add(Change.Parser.ParseFrom([10, 14, .. "state/policy/x"u8, 122, 3, 1, 2, 3]));
        told.Changes.Add(WithUnknownField(Node("b")));
        controller.State = WithUnknownField(told);
        Start("a");

        await AllocateAsync("pod", AllocationStatus.Allocated);

        Assert.Equal(["pods"], _state.View().Networks.Select(network => network.Name));
        Assert.Equal(["b"], _state.View().Nodes.Select(each => each.Name));
        Assert.Contains(_session.Problems, problem => problem.Contains("state/networks/odd, which has the encapsulation 'gre'", StringComparison.Ordinal));
        Assert.Contains(_session.Problems, problem => problem.Contains("which has the prefix '10.244.9.0:26'", StringComparison.Ordinal));
        await UntilAsync(() => Kept().Revision == 2);
        Assert.Equal(told.Changes.OrderBy(change => change.Key), Kept().Changes.OrderBy(change => change.Key));
        // Gone is what is said to be gone, whatever kind it was of.
        controller.State = new WatchResponse { Revision = 3, Changes = { new Change { Key = "state/policy/x" }, new Change { Key = "state/networks/odd" } } };
        await UntilAsync(() => _session.Problems.All(problem => !problem.Contains("gre", StringComparison.Ordinal)));
        await UntilAsync(() => Kept().Revision == 3);
        Assert.DoesNotContain(Kept().Changes, change => change.Key == "state/policy/x");

        WatchResponse Kept() => File.Exists($"{_folder}/network.state") ? WatchResponse.Parser.ParseFrom(File.ReadAllBytes($"{_folder}/network.state")) : new WatchResponse();
    }

    private static WatchResponse State(long revision, params Change[] blocks) => State(revision, false, blocks);

    private static WatchResponse State(long revision, bool more, params Change[] blocks) => new()
    {
        Revision = revision,
        Reset = true,
        More = more,
        Changes =
        {
            new Change { Key = "state/networks/pods", Network = new Network { Name = "pods", Vni = 42, Encapsulation = "vxlan", Pools = { new Pool { Prefix = "10.244.0.0/16", BlockLength = 26 } } } },
            blocks,
        },
    };

    private static Change Block(string prefix, string holder) =>
        new() { Key = $"state/blocks/pods/{prefix}", Block = new Block { Network = "pods", Prefix = prefix, Holder = holder } };

    private static Change Node(string name) => new() { Key = $"state/nodes/{name}", Node = new Rpc.Control.Node { Name = name, Underlay = { "192.0.2.2" }, Mac = "02:00:00:00:00:02" } };

    /// <summary>Field 99, a string.</summary>
    private static T WithUnknownField<T>(T message)
        where T : IMessage<T>, new() => new MessageParser<T>(() => new T()).ParseFrom([.. message.ToByteArray(), 0x9a, 0x06, 5, .. "later"u8]);

    private static async Task UntilAsync(Func<bool> isSo)
    {
        long start = Stopwatch.GetTimestamp();
        while (!isSo())
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < Patience, $"it does not get there within {Patience}");
            await Task.Delay(20);
        }
    }

    private async Task<SpokenController> AddControllerAsync()
    {
        var controller = new SpokenController(new TlsFiles($"{_folder}/controller.pem", $"{_folder}/controller.key", $"{_folder}/ca.pem"));
        await controller.StartAsync();
        _controllers.Add(controller);
        return controller;
    }

    private void Start(string node, int lowWater = 0)
    {
        var options = new ControlOptions(
            0, [.. _controllers.Select(each => new Located<DnsEndPoint>(each.EndPoint, 0))], new($"{_folder}/a.pem", 0), new($"{_folder}/a.key", 0), new($"{_folder}/ca.pem", 0),
            new(_folder, 0), null, [], null);
        _state = new ControlState(_folder, node);
        _allocator = new NodeAllocator(new NodeAllocatorOptions { Journal = $"{_folder}/addresses.journal", IsLeased = true, LowWater = lowWater }, BootTime.Clock);
        _session = new ControlSession(node, options, new RegistrationFile(_folder), _state, _allocator, () => { }, NullLogger.Instance);
        _session.Use([IPAddress.Parse("192.0.2.1")]);
        _stop = new CancellationTokenSource();
        _running = _session.RunAsync(_stop.Token);
    }

    private async Task StopAsync()
    {
        if (_stop is not null) await _stop.CancelAsync();
        await _running.WaitAsync(Patience);
        _stop?.Dispose();
        _stop = null;
        _allocator?.Dispose();
        _allocator = null;
    }

    private Allocation Allocate(string owner) => _allocator!.Allocate("pods", AddressFamily.InterNetwork, owner);

    /// <summary>Asks until the answer is the one that is waited for.</summary>
    /// <param name="release">Whether an address that is got meanwhile is given back.</param>
    private async Task<Allocation> AllocateAsync(string owner, AllocationStatus status, bool release = false)
    {
        Allocation last = default;
        await UntilAsync(() =>
        {
            last = Allocate(owner);
            if (release && last.Address is not null) _allocator!.Release("pods", owner);
            return last.Status == status || (status == AllocationStatus.Allocated && last.Status == AllocationStatus.Unchanged);
        });
        return last;
    }
}
