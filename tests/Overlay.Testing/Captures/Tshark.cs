namespace Overlay.Testing.Captures;

/// <summary>tshark(1): a decoder that is not ours and checks every checksum.</summary>
public static class Tshark
{
    /// <summary>What a <c>checksum.status</c> field says of a good checksum; 0 is bad, 2 unverified, 3 not present.</summary>
    public const string Good = "1";

    /// <summary>Reads fields of every frame in a capture, with checksum validation on.</summary>
    /// <param name="path">The capture.</param>
    /// <param name="fields">Names of the fields to print.</param>
    /// <param name="options">Further options.</param>
    /// <returns>A row a frame: for each field every occurrence, outermost first, comma-separated.</returns>
    public static IReadOnlyList<string[]> ReadFields(string path, IReadOnlyList<string> fields, params string[] options)
    {
        ProgramRun run = ProgramRun.Check(
            "tshark",
            [
                "-r", path, "-n", "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,", "-o", "ip.check_checksum:TRUE",
                "-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", .. options, .. fields.SelectMany(field => (string[])["-e", field]),
            ]);
        return [.. run.Output.TrimEnd('\n').Split('\n').Select(line => line.Split('\t'))];
    }
}
