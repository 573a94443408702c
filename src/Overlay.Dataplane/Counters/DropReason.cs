namespace Overlay.Dataplane.Counters;

/// <summary>Why a packet went no further. Counted by index, once a packet.</summary>
public enum DropReason : byte
{
    // Egress: from the device
    EgressMalformed,
    EgressNotIp,
    EgressMulticast,
    EgressAddressProbe,
    EgressNoRoute,
    EgressRouteLocal,
    EgressRouteBlackhole,
    EgressRouteUnreachable,
    EgressRouteProhibited,
    EgressTooBig,
    EgressExpired,
    EgressLoop,
    EgressEncapsulationLimit,
    EgressBadOffload,
    EgressQueueFull,
    EgressUnreachable,
    EgressRefused,
    EgressUnknownMac,
    EgressUnknownNeighbor,
    EgressLocalMac,
    EgressSpoofedMac,
    EgressNoFloodPeer,

    // Ingress: from the underlay
    IngressMalformed,
    IngressTunnelVersion,
    IngressTunnelOptions,
    IngressCriticalOption,
    IngressControl,
    IngressPayloadType,
    IngressUnknownPeer,
    IngressUnknownSegment,
    IngressInnerMalformed,
    IngressInnerVlan,
    IngressInnerMac,
    IngressSpoofedMac,
    IngressInnerSource,
    IngressExpired,
    IngressEcnConflict,
    IngressDeviceRefused,
}
