using Google.Protobuf;

namespace Overlay.SystemTests.Observation;

/// <summary>A point of a series.</summary>
internal sealed record OtlpPoint(IReadOnlyDictionary<string, string> Tags, double Value);

/// <summary>An instrument and what it measured.</summary>
internal sealed record OtlpMetric(string Unit, bool IsMonotonic, bool IsCumulative, IReadOnlyList<OtlpPoint> Points);

/// <summary>What a collector is pushed: the parts of opentelemetry/proto/metrics/v1/metrics.proto that tests look at, by their field numbers.</summary>
internal sealed class OtlpMetrics
{
    private const int Cumulative = 2;

    private readonly Dictionary<string, string> _resource = [];
    private readonly Dictionary<string, OtlpMetric> _metrics = [];

    public IReadOnlyDictionary<string, string> Resource => _resource;

    /// <summary>By name; of sums and gauges.</summary>
    public IReadOnlyDictionary<string, OtlpMetric> Metrics => _metrics;

    /// <param name="request">An ExportMetricsServiceRequest.</param>
    public static OtlpMetrics Parse(byte[] request)
    {
        var found = new OtlpMetrics();
        foreach (byte[] resource in Messages(request, 1))
        {
            foreach (byte[] attribute in Messages(resource, 1).SelectMany(each => Messages(each, 1))) Add(attribute, found._resource);
            foreach (byte[] metric in Messages(resource, 2).SelectMany(each => Messages(each, 2))) found._metrics[Text(metric, 1)] = MetricOf(metric);
        }
        return found;
    }

    private static OtlpMetric MetricOf(byte[] metric)
    {
        byte[] data = Messages(metric, 5).Concat(Messages(metric, 7)).FirstOrDefault() ?? [];
        return new OtlpMetric(
            Text(metric, 3), Fields(data).Any(field => field is { Number: 3, Value: 1ul }), Fields(data).Any(field => field is { Number: 2, Value: (ulong)Cumulative }),
            [.. Messages(data, 1).Select(PointOf)]);
    }

    private static OtlpPoint PointOf(byte[] point)
    {
        var tags = new Dictionary<string, string>();
        foreach (byte[] attribute in Messages(point, 7)) Add(attribute, tags);
        double value = 0;
        foreach ((int number, object read) in Fields(point))
        {
            if (number == 4) value = BitConverter.UInt64BitsToDouble((ulong)read);
            else if (number == 6) value = (long)(ulong)read;
        }
        return new OtlpPoint(tags, value);
    }

    private static void Add(byte[] attribute, Dictionary<string, string> to) => to[Text(attribute, 1)] = Messages(attribute, 2).Select(value => Text(value, 1)).FirstOrDefault() ?? "";

    private static string Text(byte[] message, int number) => Messages(message, number).Select(bytes => System.Text.Encoding.UTF8.GetString(bytes)).FirstOrDefault() ?? "";

    private static IEnumerable<byte[]> Messages(byte[] message, int number) =>
        Fields(message).Where(field => field.Number == number && field.Value is byte[]).Select(field => (byte[])field.Value);

    /// <summary>Numbers as <see cref="ulong"/>, all else as bytes.</summary>
    private static List<(int Number, object Value)> Fields(byte[] message)
    {
        var fields = new List<(int, object)>();
        var input = new CodedInputStream(message);
        while (input.ReadTag() is > 0 and var tag)
        {
            fields.Add((WireFormat.GetTagFieldNumber(tag), WireFormat.GetTagWireType(tag) switch
            {
                WireFormat.WireType.Varint => input.ReadUInt64(),
                WireFormat.WireType.Fixed64 => input.ReadFixed64(),
                WireFormat.WireType.Fixed32 => (ulong)input.ReadFixed32(),
                _ => input.ReadBytes().ToByteArray(),
            }));
        }
        return fields;
    }
}
