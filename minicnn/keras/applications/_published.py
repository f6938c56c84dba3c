"""Where Keras's files of ImageNet's weights are published, and what they are."""

from __future__ import annotations

import re
from functools import cache

from minicnn.keras.utils._downloads import get_file

_ADDRESS = "https://storage.googleapis.com/"
# By folder: a file without its ending, and its MD5 or SHA-256, from the sources of Keras 3.15.
_HASHES = """
keras-applications/
    efficientnetb0 902e53a9f72be733fc0bcb005b3ebbac
    efficientnetb0_notop 50bc09e76180e00e4465e1a485ddc09d
    efficientnetb1 1d254153d4ab51201f1646940f018540
    efficientnetb1_notop 74c4e6b3e1f6a1eea24c589628592432
    efficientnetb2 b15cce36ff4dcbd00b6dd88e7857a6ad
    efficientnetb2_notop 111f8e2ac8aa800a7a99e3239f7bfb39
    efficientnetb3 ffd1fdc53d0ce67064dc6a9c7960ede0
    efficientnetb3_notop af6d107764bb5b1abb91932881670226
    efficientnetb4 18c95ad55216b8f92d7e70b3a046e2fc
    efficientnetb4_notop ebc24e6d6c33eaebbd558eafbeedf1ba
    efficientnetb5 ace28f2a6363774853a83a0b21b9421a
    efficientnetb5_notop 38879255a25d3c92d5e44e04ae6cec6f
    efficientnetb6 165f6e37dce68623721b423839de8be5
    efficientnetb6_notop 9ecce42647a20130c1f39a5d4cb75743
    efficientnetb7 8c03f828fec3ef71311cd463b6759d99
    efficientnetb7_notop cbcfe4450ddf6f3ad90b1b398090fe4a
tensorflow/keras-applications/convnext/
    convnext_base 52cbb006d3dadd03f6e095a8ca1aca47aecdd75acb4bc74bce1f5c695d0086e6
    convnext_base_notop 40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45
    convnext_large 070c5ed9ed289581e477741d3b34beffa920db8cf590899d6d2c67fba2a198a6
    convnext_large_notop 96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd
    convnext_small ce1277d8f1ee5a0ef0e171469089c18f5233860ceaf9b168049cb9263fd7483c
    convnext_small_notop 6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab
    convnext_tiny 8ae6e78ce2933352b1ef4008e6dd2f17bc40771563877d156bc6426c7cf503ff
    convnext_tiny_notop d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1
    convnext_xlarge c1f5ccab661354fc3a79a10fa99af82f0fbf10ec65cb894a3ae0815f17a889ee
    convnext_xlarge_notop de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05
tensorflow/keras-applications/densenet/
    densenet121_weights_tf_dim_ordering_tf_kernels 9d60b8095a5708f2dcce2bca79d332c7
    densenet121_weights_tf_dim_ordering_tf_kernels_notop 30ee3e1110167f948a6b9946edeeb738
    densenet169_weights_tf_dim_ordering_tf_kernels d699b8f76981ab1b30698df4c175e90b
    densenet169_weights_tf_dim_ordering_tf_kernels_notop b8c4d4c20dd625c148057b9ff1c1176b
    densenet201_weights_tf_dim_ordering_tf_kernels 1ceb130c1ea1b78c3bf6114dbdfd8807
    densenet201_weights_tf_dim_ordering_tf_kernels_notop c13680b51ded0fb44dff2d8f86ac8bb1
tensorflow/keras-applications/efficientnet_v2/
    efficientnetv2-b0 21ecbf6da12460d5c40bb2f29ceb2188
    efficientnetv2-b0_notop 893217f2bb855e2983157299931e43ff
    efficientnetv2-b1 069f0534ff22adf035c89e2d9547a9dc
    efficientnetv2-b1_notop 0e80663031ca32d657f9caa404b6ec37
    efficientnetv2-b2 424e49f28180edbde1e94797771950a7
    efficientnetv2-b2_notop 1dfe2e7a5d45b6632553a8961ea609eb
    efficientnetv2-b3 1f1fc43bd98a6e4fd8fdfd551e02c7a0
    efficientnetv2-b3_notop f6abf7b5849ac99a89b50dd3fd532856
    efficientnetv2-l 27e6d408b53c7ebc868fefa357689935
    efficientnetv2-l_notop b0b66b5c863aef5b46e8608fe1711615
    efficientnetv2-m a3bf6aa3276309f4fc6a34aa114c95cd
    efficientnetv2-m_notop 1b8dc055df72dde80d614482840fe342
    efficientnetv2-s e1d88a8495beba45748fedd0cecbe016
    efficientnetv2-s_notop af0682fb74e8c54910f2d4393339c070
tensorflow/keras-applications/inception_resnet_v2/
    inception_resnet_v2_weights_tf_dim_ordering_tf_kernels e693bd0210a403b3192acc6073ad2e96
    inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop d19885ff4a710c122648d3b5c3b684e4
tensorflow/keras-applications/inception_v3/
    inception_v3_weights_tf_dim_ordering_tf_kernels 9a0d58056eeedaa3f26cb7ebd46da564
    inception_v3_weights_tf_dim_ordering_tf_kernels_notop bcbd6486424b2319ff4ef7d526e38f63
tensorflow/keras-applications/mobilenet_v3/
    weights_mobilenet_v3_large_224_0.75_float 765b44a33ad4005b3ac83185abf1d0eb
    weights_mobilenet_v3_large_224_0.75_float_no_top_v2 40af19a13ebea4e2ee0c676887f69a2e
    weights_mobilenet_v3_large_224_1.0_float 59e551e166be033d707958cf9e29a6a7
    weights_mobilenet_v3_large_224_1.0_float_no_top_v2 07fb09a5933dd0c8eaafa16978110389
    weights_mobilenet_v3_large_minimalistic_224_1.0_float 675e7b876c45c57e9e63e6d90a36599c
    weights_mobilenet_v3_large_minimalistic_224_1.0_float_no_top_v2 ec5221f64a2f6d1ef965a614bdae7973
    weights_mobilenet_v3_small_224_0.75_float cb65d4e5be93758266aa0a7f2c6708b7
    weights_mobilenet_v3_small_224_0.75_float_no_top_v2 ebdb5cc8e0b497cd13a7c275d475c819
    weights_mobilenet_v3_small_224_1.0_float 8768d4c2e7dee89b9d02b2d03d65d862
    weights_mobilenet_v3_small_224_1.0_float_no_top_v2 d3e8ec802a04aa4fc771ee12a9a9b836
    weights_mobilenet_v3_small_minimalistic_224_1.0_float 99cd97fb2fcdad2bf028eb838de69e37
    weights_mobilenet_v3_small_minimalistic_224_1.0_float_no_top_v2 cde8136e733e811080d9fcd8a252f7e4
tensorflow/keras-applications/nasnet/
    nasnet_large 11577c9a518f0070763c2b964a382f17
    nasnet_large_no_top d81d89dc07e6e56530c4e77faddd61b5
    nasnet_mobile 020fb642bf7360b370c678b08e0adf61
    nasnet_mobile_no_top 1ed92395b5b598bdda52abe5c0dbfd63
tensorflow/keras-applications/resnet/
    resnet101_weights_tf_dim_ordering_tf_kernels f1aeb4b969a6efcfb50fad2f0c20cfc5
    resnet101_weights_tf_dim_ordering_tf_kernels_notop 88cf7a10940856eca736dc7b7e228a21
    resnet101v2_weights_tf_dim_ordering_tf_kernels 6343647c601c52e1368623803854d971
    resnet101v2_weights_tf_dim_ordering_tf_kernels_notop c0ed64b8031c3730f411d2eb4eea35b5
    resnet152_weights_tf_dim_ordering_tf_kernels 100835be76be38e30d865e96f2aaae62
    resnet152_weights_tf_dim_ordering_tf_kernels_notop ee4c566cf9a93f14d82f913c2dc6dd0c
    resnet152v2_weights_tf_dim_ordering_tf_kernels a49b44d1979771252814e80f8ec446f9
    resnet152v2_weights_tf_dim_ordering_tf_kernels_notop ed17cf2e0169df9d443503ef94b23b33
    resnet50_weights_tf_dim_ordering_tf_kernels 2cb95161c43110f7111970584f804107
    resnet50_weights_tf_dim_ordering_tf_kernels_notop 4d473c1dd8becc155b73f8504c6f6626
    resnet50v2_weights_tf_dim_ordering_tf_kernels 3ef43a0b657b3be2300d5770ece849e0
    resnet50v2_weights_tf_dim_ordering_tf_kernels_notop fac2f116257151a9d068a22e544a4917
tensorflow/keras-applications/vgg16/
    vgg16_weights_tf_dim_ordering_tf_kernels 64373286793e3c8b2b4e3219cbf3544b
    vgg16_weights_tf_dim_ordering_tf_kernels_notop 6d6bbae143d832006294945121d1f1fc
tensorflow/keras-applications/vgg19/
    vgg19_weights_tf_dim_ordering_tf_kernels cbe5617147190e668d6c5d5026f83318
    vgg19_weights_tf_dim_ordering_tf_kernels_notop 253f8cb515780f3b799900260a226db6
tensorflow/keras-applications/xception/
    xception_weights_tf_dim_ordering_tf_kernels 0a58e3b7378bc2990ea3b43d5981f1f6
    xception_weights_tf_dim_ordering_tf_kernels_notop b0042744bf5b25fce3cb969f33bebb97
"""
_UNHASHED = {  # files of which Keras has no hashes → their folder
    r"mobilenet_v2_.*_kernels_(0\.35|0\.5|0\.75|1\.0|1\.3|1\.4)_(96|128|160|192|224)(_no_top)?\.h5": (
        "tensorflow/keras-applications/mobilenet_v2/"
    ),
    r"mobilenet_(1_0|7_5|5_0|2_5)_(128|160|192|224)_tf(_no_top)?\.h5": "tensorflow/keras-applications/mobilenet/",
}


def imagenet_file(name: str) -> str:
    """The path of a file of weights, which is downloaded where Keras has not done that before.

    Parameters
    ----------
    name : str
        Keras's.

    Raises
    ------
    ValueError
        If Keras has published no such file.
    DataError
        If it cannot be downloaded, or is another one.
    """
    folder, digits = _published().get(name) or (_folder(name), None)
    published = name
    if name.startswith("nasnet_"):
        published = name.replace("nasnet_", "NASNet-").replace("_", "-")
    return get_file(name, _ADDRESS + folder + published, file_hash=digits, cache_subdir="models")


def class_names_file() -> str:
    """The path of the file of ImageNet's classes, as `imagenet_file`."""
    name = "imagenet_class_index.json"
    origin = f"{_ADDRESS}download.tensorflow.org/data/{name}"
    return get_file(name, origin, file_hash="c2c37ea517e94d9795004a39431a14cb", cache_subdir="models")


def _folder(name):
    found = [folder for pattern, folder in _UNHASHED.items() if re.fullmatch(pattern, name)]
    if not found:
        raise ValueError(
            "Keras has published weights of ImageNet for some sizes of this network alone (alpha, minimalistic); "
            f"weights=None makes any. Received: one that would be called {name}"
        )
    return found[0]


@cache
def _published():
    """File → its folder, and its hash."""
    found, folder = {}, ""
    for line in _HASHES.strip().splitlines():
        if line.startswith(" "):
            name, digits = line.split()
            found[f"{name}.h5"] = folder, digits
        else:
            folder = line
    return found
