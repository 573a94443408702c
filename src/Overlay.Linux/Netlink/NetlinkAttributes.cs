using System.Net;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Overlay.Linux.Interop;

namespace Overlay.Linux.Netlink;

/// <summary>Walks the attributes of a netlink message or of a nested attribute. Stops at the first that is cut off.</summary>
internal ref struct NetlinkAttributes(ReadOnlySpan<byte> bytes)
{
    private ReadOnlySpan<byte> _rest = bytes;

    /// <summary>Type of the current attribute, without its flags.</summary>
    public ushort Type { get; private set; }

    public ReadOnlySpan<byte> Value { get; private set; }

    public readonly uint UInt32 => MemoryMarshal.Read<uint>(Value);

    public readonly string Text => Encoding.UTF8.GetString(Value.TrimEnd((byte)0));

    public readonly IPAddress Address => new(Value);

    public bool Next()
    {
        int header = Unsafe.SizeOf<NlAttr>();
        if (_rest.Length < header) return false;
        NlAttr attribute = MemoryMarshal.Read<NlAttr>(_rest);
        if (attribute.nla_len < header || attribute.nla_len > _rest.Length) return false;
        Type = (ushort)(attribute.nla_type & NetlinkConstants.NLA_TYPE_MASK);
        Value = _rest[header..attribute.nla_len];
        _rest = _rest[Math.Min(NetlinkRequest.Align(attribute.nla_len), _rest.Length)..];
        return true;
    }
}
