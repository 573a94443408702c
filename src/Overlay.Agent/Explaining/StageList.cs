using Overlay.Dataplane.Counters;
using Overlay.Rpc;

namespace Overlay.Agent.Explaining;

/// <summary>The stages of the way out, in the order that packets go through them.</summary>
internal enum EgressStage
{
    Parse,
    Source,
    Neighbour,
    Route,
    Choice,
    Entry,
    Mtu,
    Checksum,
    Offload,
    Egress,
}

/// <summary>Collects what stages found.</summary>
/// <param name="drop">Why the packet went no further; null: it did, at least in part.</param>
/// <param name="isAnswered">It was answered, which ends it too.</param>
internal sealed class StageList(DropReason? drop, bool isAnswered)
{
    private static readonly Dictionary<EgressStage, string> Names = new()
    {
        [EgressStage.Parse] = "parse",
        [EgressStage.Source] = "anti-spoofing",
        [EgressStage.Neighbour] = "neighbour",
        [EgressStage.Route] = "route",
        [EgressStage.Choice] = "ecmp",
        [EgressStage.Entry] = "tunnel entry",
        [EgressStage.Mtu] = "mtu",
        [EgressStage.Checksum] = "checksum",
        [EgressStage.Offload] = "offload",
        [EgressStage.Egress] = "egress",
    };

    private readonly List<ExplanationStage> _stages = [];

    public IReadOnlyList<ExplanationStage> All => _stages;

    /// <summary>The stage that drops for a reason.</summary>
    public static EgressStage StageOf(DropReason reason) => reason switch
    {
        DropReason.EgressMalformed or DropReason.EgressNotIp or DropReason.EgressBadOffload => EgressStage.Parse,
        DropReason.EgressSourceMac or DropReason.EgressReservedMac or DropReason.EgressSpoofedMac => EgressStage.Source,
        DropReason.EgressAddressProbe or DropReason.EgressUnknownNeighbor => EgressStage.Neighbour,
        DropReason.EgressMulticast or DropReason.EgressNoRoute or DropReason.EgressRouteLocal or DropReason.EgressRouteBlackhole
            or DropReason.EgressRouteUnreachable or DropReason.EgressRouteProhibited or DropReason.EgressUnknownMac or DropReason.EgressLocalMac
            or DropReason.EgressNoFloodPeer => EgressStage.Route,
        DropReason.EgressLoop or DropReason.EgressExpired or DropReason.EgressEncapsulationLimit => EgressStage.Entry,
        DropReason.EgressTooBig => EgressStage.Mtu,
        DropReason.EgressQueueFull or DropReason.EgressUnreachable or DropReason.EgressRefused => EgressStage.Egress,
        _ => throw new ArgumentOutOfRangeException(nameof(reason), reason, "is no reason of the way out"),
    };

    /// <summary>Notes the drop if it is this stage's.</summary>
    public bool Ends(EgressStage stage, params string[] details)
    {
        if (drop is not { } reason || StageOf(reason) != stage) return false;
        Add(stage, "dropped", $"{DropReasons.Meaning(reason)} ({DropReasons.Name(reason)})", details);
        return true;
    }

    public bool Ok(EgressStage stage, string text, params string[] details) => Add(stage, "ok", text, details);

    public bool Changed(EgressStage stage, string text, params string[] details) => Add(stage, "changed", text, details);

    /// <summary>Dropped by the host, not by the packet path.</summary>
    /// <returns>False: the packet is done with.</returns>
    public bool Refused(EgressStage stage, string text) => !Add(stage, "dropped", text, []);

    /// <summary>There was nothing to do.</summary>
    public bool None(EgressStage stage, string text) => Add(stage, "none", text, []);

    /// <returns>False: the packet is done with.</returns>
    public bool Answered(EgressStage stage, string text)
    {
        Add(stage, "answered", text, []);
        return !isAnswered;
    }

    private bool Add(EgressStage stage, string outcome, string text, string[] details)
    {
        _stages.Add(new ExplanationStage(Names[stage], outcome, text, details));
        return true;
    }
}
