namespace Overlay.SystemTests.Traffic;

/// <summary>RFC 6040, 4.2, figure 4, written out. Code points: 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE.</summary>
internal static class EcnTable
{
    /// <summary>What leaves the tunnel; null: nothing.</summary>
    public static int? Leaves(int inner, int outer) => (inner, outer) switch
    {
        (0, 3) => null,
        (0, _) => 0,
        (1, 3) => 3,
        (1, _) => 1,
        (2, 1) => 1,
        (2, 3) => 3,
        (2, _) => 2,
        _ => 3,
    };
}
