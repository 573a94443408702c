using System.Buffers.Binary;
using System.Net;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Overlay.Linux.Interop;

namespace Overlay.Linux.Netlink;

/// <summary>Writes one netlink message into a buffer that the caller owns.</summary>
internal ref struct NetlinkRequest
{
    /// <summary>More than any request here takes.</summary>
    public const int BufferBytes = 512;

    private readonly Span<byte> _buffer;
    private readonly ushort _type;
    private readonly ushort _flags;
    private int _length;

    private NetlinkRequest(Span<byte> buffer, ushort type, ushort flags)
    {
        _buffer = buffer;
        _length = Unsafe.SizeOf<NlMsgHdr>();
        _type = type;
        _flags = flags;
    }

    /// <param name="buffer">At least <see cref="BufferBytes"/>.</param>
    /// <param name="type">RTM_*.</param>
    /// <param name="flags">NLM_F_* that say what is to be done: CREATE, EXCL, REPLACE.</param>
    /// <param name="body">The family's fixed header.</param>
    public static NetlinkRequest Start<T>(Span<byte> buffer, ushort type, ushort flags, T body)
        where T : unmanaged
    {
        buffer.Clear();
        var request = new NetlinkRequest(buffer, type, flags);
        MemoryMarshal.Write(buffer[request._length..], body);
        request._length = Align(request._length + Unsafe.SizeOf<T>());
        return request;
    }

    public void Add(ushort type, uint value) => MemoryMarshal.Write(Attribute(type, sizeof(uint)), value);

    public void Add(ushort type, scoped ReadOnlySpan<byte> value) => value.CopyTo(Attribute(type, value.Length));

    public void Add(ushort type, IPAddress value)
    {
        Span<byte> octets = stackalloc byte[16];
        value.TryWriteBytes(octets, out int length);
        Add(type, octets[..length]);
    }

    /// <summary>A zero-terminated string.</summary>
    public void Add(ushort type, string value) => Encoding.UTF8.GetBytes(value, Attribute(type, Encoding.UTF8.GetByteCount(value) + 1));

    /// <summary>A number in network byte order, as netfilter has them all.</summary>
    public void AddBigEndian(ushort type, uint value) => BinaryPrimitives.WriteUInt32BigEndian(Attribute(type, sizeof(uint)), value);

    /// <summary>A structure, such as the header of a nested message.</summary>
    public void Append<T>(T body)
        where T : unmanaged
    {
        MemoryMarshal.Write(_buffer[_length..], body);
        _length = Align(_length + Unsafe.SizeOf<T>());
    }

    /// <summary>Begins an attribute that holds attributes.</summary>
    /// <returns>What <see cref="EndNest"/> takes.</returns>
    public int BeginNest(ushort type)
    {
        int start = _length;
        MemoryMarshal.Write(_buffer[start..], new NlAttr { nla_type = (ushort)(type | NetlinkConstants.NLA_F_NESTED) });
        _length += Unsafe.SizeOf<NlAttr>();
        return start;
    }

    public readonly void EndNest(int start) => MemoryMarshal.Write(_buffer[start..], (ushort)(_length - start));

    /// <summary>The whole message, valid until the next change.</summary>
    /// <param name="flags">Flags of the way it is asked: NLM_F_ACK or NLM_F_DUMP.</param>
    /// <param name="sequence">Comes back with the answer.</param>
    public readonly ReadOnlySpan<byte> Finish(ushort flags, uint sequence)
    {
        MemoryMarshal.Write(_buffer, new NlMsgHdr
        {
            nlmsg_len = (uint)_length,
            nlmsg_type = _type,
            nlmsg_flags = (ushort)(NetlinkConstants.NLM_F_REQUEST | _flags | flags),
            nlmsg_seq = sequence,
        });
        return _buffer[.._length];
    }

    /// <summary>Netlink aligns messages and attributes to four bytes.</summary>
    public static int Align(int length) => (length + 3) & ~3;

    private Span<byte> Attribute(ushort type, int length)
    {
        int header = Unsafe.SizeOf<NlAttr>();
        MemoryMarshal.Write(_buffer[_length..], new NlAttr { nla_len = (ushort)(header + length), nla_type = type });
        Span<byte> payload = _buffer.Slice(_length + header, length);
        _length = Align(_length + header + length);
        return payload;
    }
}
