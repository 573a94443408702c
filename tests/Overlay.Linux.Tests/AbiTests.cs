using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Offload;
using Overlay.Linux.Interop;
using Overlay.Testing;

namespace Overlay.Linux.Tests;

/// <summary>Holds every struct and constant of Overlay.Linux.Interop against what the C headers of this machine say.</summary>
public sealed class AbiTests
{
    /// <summary>Constants that older headers lack; the TAP tests check them against the kernel.</summary>
    private static readonly string[] NewerThanHeaders =
    [
        nameof(Tun.TUN_F_USO4), nameof(Tun.TUN_F_USO6), nameof(Tun.TUN_F_UDP_TUNNEL_GSO), nameof(Tun.TUN_F_UDP_TUNNEL_GSO_CSUM),
    ];

    private static readonly Lazy<Dictionary<string, string>> Headers = new(ReadHeaders);

    private static IEnumerable<Type> InteropTypes => typeof(NativeStructAttribute).Assembly.GetTypes()
        .Where(type => type.Namespace == typeof(NativeStructAttribute).Namespace && type.GetCustomAttribute<CompilerGeneratedAttribute>() is null);

    [Fact]
    public void Constants_AllOfInterop_EqualTheHeaders()
    {
        FieldInfo[] constants = [.. InteropTypes.SelectMany(type => type.GetFields(BindingFlags.Public | BindingFlags.Static)).Where(field => field.IsLiteral)];
        Assert.NotEmpty(constants);
        Assert.All(constants, constant =>
        {
            string managed = Convert.ToInt64(constant.GetRawConstantValue(), CultureInfo.InvariantCulture).ToString(CultureInfo.InvariantCulture);
            if (Headers.Value.ContainsKey($"absent {constant.Name}")) Assert.Contains(constant.Name, NewerThanHeaders);
            else Assert.Equal(managed, Headers.Value.GetValueOrDefault($"const {constant.Name}", $"missing in native/abi.c"));
        });
    }

    [Fact]
    public void Structs_AllOfInterop_EqualTheHeaders()
    {
        Type[] structs = [.. InteropTypes.Where(type => type.IsValueType && type.GetCustomAttribute<InlineArrayAttribute>() is null)];
        Assert.NotEmpty(structs);
        Assert.All(structs, type =>
        {
            string name = type.GetCustomAttribute<NativeStructAttribute>()?.Name ?? $"{type} without a {nameof(NativeStructAttribute)}";
            AssertLayout(type, name, field => field);
        });
    }

    [Fact]
    public void BufferSlice_Layout_IsIovec() =>
        AssertLayout(typeof(BufferSlice), "iovec", field => field.Contains("Address", StringComparison.Ordinal) ? "iov_base" : "iov_len");

    [Fact]
    public void VirtioNetHeader_Layout_IsVirtioNetHdr() =>
        AssertLayout(typeof(VirtioNetHeader), "virtio_net_hdr", field => field switch
        {
            nameof(VirtioNetHeader.Flags) => "flags",
            nameof(VirtioNetHeader.GsoType) => "gso_type",
            nameof(VirtioNetHeader.HeaderLength) => "hdr_len",
            nameof(VirtioNetHeader.SegmentSize) => "gso_size",
            nameof(VirtioNetHeader.ChecksumStart) => "csum_start",
            nameof(VirtioNetHeader.ChecksumOffset) => "csum_offset",
            _ => field,
        });

    private static void AssertLayout(Type type, string name, Func<string, string> fieldName)
    {
        Assert.Equal($"{name} {Call(nameof(SizeOf), type)}", $"{name} {Headers.Value.GetValueOrDefault($"struct {name}", "missing in native/abi.c")}");
        foreach (FieldInfo field in type.GetFields(BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance))
        {
            string key = $"{name}.{fieldName(field.Name)}";
            Assert.Equal($"{key} {Extent(type, field)}", $"{key} {Headers.Value.GetValueOrDefault($"field {key}", "missing in native/abi.c")}");
        }
    }

    /// <summary>Offset and size of a field, seen from which bytes it sets.</summary>
    private static string Extent(Type type, FieldInfo field)
    {
        object instance = Activator.CreateInstance(type)!;
        field.SetValue(instance, Call(nameof(AllOnes), field.FieldType));
        var bytes = (byte[])Call(nameof(Bytes), type, instance);
        int offset = Array.FindIndex(bytes, value => value != 0);
        return $"{offset} {bytes.Count(value => value != 0)}";
    }

    private static object Call(string method, Type type, params object[] arguments) =>
        typeof(AbiTests).GetMethod(method, BindingFlags.NonPublic | BindingFlags.Static)!.MakeGenericMethod(type).Invoke(null, arguments)!;

    private static int SizeOf<T>() => Unsafe.SizeOf<T>();

    private static T AllOnes<T>()
        where T : unmanaged
    {
        T value = default;
        MemoryMarshal.AsBytes(new Span<T>(ref value)).Fill(0xff);
        return value;
    }

    private static byte[] Bytes<T>(T value)
        where T : unmanaged => MemoryMarshal.AsBytes(new Span<T>(ref value)).ToArray();

    private static Dictionary<string, string> ReadHeaders()
    {
        string program = Path.Combine(Path.GetTempPath(), $"overlay-abi-{Guid.NewGuid():n}");
        try
        {
            ProgramRun.Check("gcc", "-Wall", "-Wextra", "-Werror", "-o", program, Path.Combine(AppContext.BaseDirectory, "abi.c"));
            var facts = new Dictionary<string, string>();
            foreach (string line in ProgramRun.Check(program).Lines)
            {
                string[] words = line.Split(' ', 3);
                facts.Add($"{words[0]} {words[1]}", words.Length == 3 ? words[2] : "");
            }
            return facts;
        }
        finally
        {
            File.Delete(program);
        }
    }
}
