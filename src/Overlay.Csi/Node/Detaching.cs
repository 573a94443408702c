using Overlay.Linux.Loop;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Node;

/// <summary>A loop device that is let go stays as long as anybody who lists devices has it open, which is soon over.</summary>
internal static class Detaching
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(5);

    /// <param name="id">The volume whose devices were let go.</param>
    /// <param name="left">Finds one that is still there.</param>
    /// <exception cref="GrpcException">UNAVAILABLE: one is after two seconds.</exception>
    public static void Await(string id, Func<LoopDevice?> left)
    {
        if (LeftAfterAll(left) is not { } device) return;
        throw new GrpcException(GrpcStatusCode.Unavailable, $"{device.Path} still has the image of volume {id}: another mount namespace or a process holds it; it is tried again");
    }

    /// <returns>One that is still there after two seconds; null as soon as there is none.</returns>
    public static LoopDevice? LeftAfterAll(Func<LoopDevice?> left)
    {
        LoopDevice? device;
        for (long start = Environment.TickCount64; (device = left()) is not null && Environment.TickCount64 - start < Patience.TotalMilliseconds;) Thread.Sleep(Pause);
        return device;
    }
}
