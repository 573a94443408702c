using System.Diagnostics;
using System.Globalization;

namespace Overlay.Scale;

/// <summary>One member of etcd on loopback, whose data lie in a folder.</summary>
internal static class EtcdProcess
{
    /// <param name="clientPort">Where clients are served.</param>
    /// <param name="peerPort">Where other members would be.</param>
    public static Process Start(string folder, int clientPort, int peerPort)
    {
        string client = string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{clientPort}");
        string peer = string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{peerPort}");
        Process process = Process.Start(new ProcessStartInfo(
            "etcd",
            [
                "--name", "scale", "--data-dir", $"{folder}/etcd", "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
                "--initial-advertise-peer-urls", peer, "--initial-cluster", $"scale={peer}", "--log-level", "error", "--auto-compaction-retention", "1h",
            ])
        { RedirectStandardError = true })!;
        _ = Task.Run(() => process.StandardError.ReadToEndAsync());
        return process;
    }
}
