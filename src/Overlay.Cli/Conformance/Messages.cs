using System.Text.Json.Serialization;

namespace Overlay.Cli.Conformance;

/// <summary>What a connection to <c>overlay conformance serve</c> asks for, in its first line.</summary>
/// <param name="Kind">
/// <c>hello</c>: who answers, and whom it sees. <c>reach</c>: say hello to <see cref="Address"/> from there. <c>upload</c>: take bytes until the
/// end, and count them. <c>count</c>: what of the datagrams of <see cref="Token"/> arrived. <c>measure</c>: measure the way to
/// <see cref="Address"/> from there.
/// </param>
internal sealed record Request(string Kind)
{
    public string? Address { get; init; }

    public int Port { get; init; }

    /// <summary>Of each measurement of throughput.</summary>
    public double Seconds { get; init; }

    public ulong Token { get; init; }
}

/// <summary>What is answered, in one line.</summary>
internal sealed record Reply
{
    /// <summary>What could not be done; null: it was done.</summary>
    public string? Error { get; init; }

    /// <summary>Of the server that answers: drawn when it starts.</summary>
    public string? Id { get; init; }

    /// <summary>Whom the server sees at the other end.</summary>
    public string? SeenAddress { get; init; }

    public int SeenPort { get; init; }

    /// <summary>Addresses of the server's interfaces.</summary>
    public IReadOnlyList<string> Addresses { get; init; } = [];

    /// <summary>Bytes that were taken.</summary>
    public long Bytes { get; init; }

    /// <summary>SHA-256 of them.</summary>
    public string? Digest { get; init; }

    public DatagramCount? Datagrams { get; init; }

    public Figures? Figures { get; init; }
}

/// <summary>Datagrams of one token as they arrived.</summary>
/// <param name="Late">Those that came after one with a higher number.</param>
/// <param name="TrafficClasses">Traffic classes of their IP headers, in the order of arrival; of the first few.</param>
internal sealed record DatagramCount(long Received, long Duplicates, long Late, IReadOnlyList<int> TrafficClasses);

/// <summary>How fast a way is.</summary>
/// <param name="LatencyMicroseconds">Of a small datagram there and back, median.</param>
/// <param name="LatencyMicroseconds99">The 99th percentile.</param>
/// <param name="ThroughputBits">Of one TCP stream, a second.</param>
/// <param name="ParallelBits">Of four TCP streams together, a second.</param>
internal sealed record Figures(double LatencyMicroseconds, double LatencyMicroseconds99, double ThroughputBits, double ParallelBits);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(Request))]
[JsonSerializable(typeof(Reply))]
internal sealed partial class MessageJson : JsonSerializerContext;
