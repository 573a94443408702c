using System.Buffers;
using System.Net;
using System.Text.Encodings.Web;
using System.Text.Json;
using Overlay.Wire;
using Overlay.Wire.Capture;
using Overlay.Wire.Decoding;

namespace Overlay.Cli;

/// <summary>One JSON object a frame, one a line, every key in every object.</summary>
internal sealed class JsonReport : IFrameReport
{
    private const int FlushBytes = 64 * 1024;

    private readonly Stream _output;
    private readonly ArrayBufferWriter<byte> _lines = new(FlushBytes);
    private readonly Utf8JsonWriter _json;

    public JsonReport(Stream output)
    {
        _output = output;
        _json = new Utf8JsonWriter(_lines, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
    }

    public void Write(long number, CapturedFrame frame, DecodedFrame decoded)
    {
        _json.WriteStartObject();
        _json.WriteNumber("frame", number);
        _json.WriteString("encap", Name(decoded.Tunnel));
        Write("vni", decoded.Vni);
        Write("outer_src", decoded.OuterSource);
        Write("outer_dst", decoded.OuterDestination);
        Write("outer_sport", decoded.OuterSourcePort);
        Write("outer_dport", decoded.OuterDestinationPort);
        Write("inner_len", decoded.InnerLength);
        Write("inner_src", decoded.InnerSource);
        Write("inner_dst", decoded.InnerDestination);
        Write("inner_eth_src", decoded.InnerEthernetSource);
        Write("inner_eth_dst", decoded.InnerEthernetDestination);
        Write("inner_proto", decoded.InnerProtocol);
        Write("flags", decoded.VxlanFlags);
        Write("gbp_id", decoded.GroupPolicyId);
        Write("oam", decoded.IsOam);
        Write("critical", decoded.HasCriticalOptions);
        WriteOptions(decoded.Options);
        _json.WriteString("error", decoded.Error);
        _json.WriteEndObject();
        _json.Flush();
        _json.Reset();
        _lines.Write("\n"u8);
        if (_lines.WrittenCount >= FlushBytes) Flush();
    }

    public void Flush()
    {
        _output.Write(_lines.WrittenSpan);
        _lines.ResetWrittenCount();
        _output.Flush();
    }

    public void Dispose()
    {
        Flush();
        _json.Dispose();
    }

    private static string Name(TunnelKind kind) => kind switch
    {
        TunnelKind.None => "none",
        TunnelKind.Vxlan => "vxlan",
        TunnelKind.VxlanGpe => "vxlan-gpe",
        TunnelKind.Geneve => "geneve",
        TunnelKind.Ipv4InIpv4 => "ipip",
        TunnelKind.Ipv6InIpv4 => "sit",
        TunnelKind.Ipv4InIpv6 => "ip4ip6",
        TunnelKind.Ipv6InIpv6 => "ip6ip6",
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, null),
    };

    private void WriteOptions(IReadOnlyList<DecodedOption>? options)
    {
        if (options is null)
        {
            _json.WriteNull("options");
            return;
        }
        _json.WriteStartArray("options");
        foreach (DecodedOption option in options)
        {
            _json.WriteStartObject();
            _json.WriteNumber("class", option.Class);
            _json.WriteNumber("type", option.Type);
            _json.WriteNumber("len", option.Data.Length);
            _json.WriteString("data", Convert.ToHexStringLower(option.Data.Span));
            _json.WriteEndObject();
        }
        _json.WriteEndArray();
    }

    private void Write(string key, long? value)
    {
        if (value is null) _json.WriteNull(key);
        else _json.WriteNumber(key, value.Value);
    }

    private void Write(string key, bool? value)
    {
        if (value is null) _json.WriteNull(key);
        else _json.WriteBoolean(key, value.Value);
    }

    private void Write(string key, IPAddress? value) => _json.WriteString(key, value is null ? null : AddressText.Format(value));

    private void Write(string key, MacAddress? value) => _json.WriteString(key, value?.ToString());
}
