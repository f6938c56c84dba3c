"""The names of the library's own layers, losses, metrics, optimizers, …: what a name alone means in files and configs.

A user's class that is called so is told from the library's by a ">" before its name (`minicnn.own_parts`). The names
stand in a list, as what was imported by then must not change what a file says: rooms that few use bring some of them.
"""

from minicnn.errors import fold_name

_NAMES = """
    accuracy activation activityregularization adadelta adafactor adagrad adam adamax adamw adaptiveaveragepooling1d
    adaptiveaveragepooling2d adaptiveaveragepooling3d adaptivemaxpooling1d adaptivemaxpooling2d adaptivemaxpooling3d
    add additiveattention addloss addmetric alphadropout argmax arithmetic attention auc augmix autocontrast average
    averagepooling1d averagepooling2d averagepooling3d batchnormalization bce binaryaccuracy binarycrossentropy
    binaryfocalcrossentropy binaryiou categoricalaccuracy categoricalcrossentropy categoricalfocalcrossentropy
    categoricalgeneralizedcrossentropy categoricalhinge celu centercrop clip concatenate concordancecorrelation
    constant constanttensor conv1d conv1dtranspose conv2d conv2dtranspose conv3d conv3dtranspose cosinedecay
    cosinedecayrestarts cosinesimilarity cropping1d cropping2d cropping3d cutmix dense depthwiseconv1d
    depthwiseconv2d dice dirac dot dropout earlierplaces einsumdense elementary elu embedding equalization erf
    exponential exponentialdecay f1score falsenegatives falsepositives fbetascore flatten ftrl functionactivation
    functional functionconstraint functioninitializer functionloss functionofsizes functionregularizer
    gaussiandropout gaussiannoise gelu getitem globalaveragepooling1d globalaveragepooling2d globalaveragepooling3d
    globalmaxpooling1d globalmaxpooling2d globalmaxpooling3d glorotnormal glorotuniform groupnormalization
    groupqueryattention hardshrink hardsigmoid hardsilu hardswish hardtanh henormal heuniform highway hinge huber
    huberloss identity identityinitializer inputlayer inversetimedecay iou kld kldivergence l1 l1l2 l2 lamb lambda
    layernormalization layerscale leakyrelu lecunnormal lecununiform lion logcosh logcosherror logsigmoid logsoftmax
    lookahead mae mape matrixproduct maximum maxnorm maxoutdense maxpooling1d maxpooling2d maxpooling3d mean
    meanabsoluteerror meanabsolutepercentageerror meaniou meanmetricwrapper meansquarederror
    meansquaredlogarithmicerror minimum minmaxnorm mish mixup model mse msle multiheadattention multiply muon nadam
    namedfunction noloss nonneg normal normalization one onecycle onehotiou onehotmeaniou ones orthogonal
    orthogonalinitializer orthogonalregularizer paddedaveragepooling2d paddedmaxpooling2d pearsoncorrelation permute
    piecewiseconstantdecay pipeline placedresizing pointwise poisson polynomialdecay power precision
    precisionatrecall prelu r2score randaugment randombrightness randomcolordegeneration randomcolorjitter
    randomcontrast randomcrop randomerasing randomflip randomgaussianblur randomgrayscale randomhue randominvert
    randomnormal randomperspective randomposterization randomrotation randomsaturation randomsharpness randomshear
    randomtranslation randomuniform randomzoom recall recallatprecision reduce reduction relu relu6 repeatvector
    rescaling reshape resizing rmse rmsnormalization rmsprop rootmeansquarederror schedulefreeadamw select selu
    sensitivityatspecificity separableconv1d separableconv2d sequential sgd sigmoid silu softmax softplus softshrink
    softsign solarization sparsecategoricalaccuracy sparsecategoricalcrossentropy sparsemax sparseplus sparsesigmoid
    sparsetopkcategoricalaccuracy spatialdropout1d spatialdropout2d spatialdropout3d specificityatsensitivity
    spectralnormalization squaredhinge squareplus subtract sum swish tanh tanhshrink timedistributed
    topkcategoricalaccuracy truenegatives truepositives truncatednormal tversky uniform unitnorm unitnormalization
    upsampling1d upsampling2d upsampling3d variancescaling zero zeropadding1d zeropadding2d zeropadding3d zeros
"""
LIBRARY: frozenset[str] = frozenset(_NAMES.split())
"""As `minicnn.errors.fold_name` has them: those of all classes that registries find, and their further names."""


def is_taken(name: str) -> bool:
    """Whether one of the package's classes is found by this name."""
    return fold_name(name) in LIBRARY
