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
        for (long start = Environment.TickCount64; left() is { } device; Thread.Sleep(Pause))
        {
            if (Environment.TickCount64 - start < Patience.TotalMilliseconds) continue;
            throw new GrpcException(GrpcStatusCode.Unavailable, $"{device.Path} still has the image of volume {id}: another mount namespace or a process holds it; it is tried again");
        }
    }
}
